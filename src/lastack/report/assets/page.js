(() => {
  "use strict";
  const PAGE = 100;
  const data = JSON.parse(document.getElementById("data").textContent);
  const table = document.querySelector(".rows");
  document.documentElement.classList.add("js");
  if (!table) return;

  const body = table.tBodies[0];
  const heads = [...table.tHead.querySelectorAll("th")];
  const search = document.getElementById("filter");
  const tally = document.getElementById("tally");
  const more = document.getElementById("more");
  const collator = new Intl.Collator("en", { numeric: true });
  const { columns, texts, keys, findings } = data;
  const total = texts[0].length;
  const state = columns.findIndex((column) => column.key === "state");
  const members = findings.map((rows) => new Set(rows));
  const words = Array.from({ length: total }, (_, row) => texts.map((column) => column[row]).join("\n").toLowerCase());

  const wanted = { text: "", states: new Set(), finding: null, column: null, down: false };
  let shown = [];
  let limit = PAGE;

  // Numbers by their size, addresses by the numbers in them; what is missing comes last either way.
  const compare = (column, sign) => (a, b) => {
    const left = keys[column] ? keys[column][a] : texts[column][a];
    const right = keys[column] ? keys[column][b] : texts[column][b];
    const missing = (value) => value === null || value === "-";
    if (missing(left) || missing(right)) return missing(left) - missing(right) || a - b;
    return sign * (typeof left === "number" ? left - right : collator.compare(left, right)) || a - b;
  };

  const choose = () => {
    shown = [];
    for (let row = 0; row < total; row++) {
      if (wanted.finding !== null && !members[wanted.finding].has(row)) continue;
      if (wanted.states.size && !wanted.states.has(texts[state][row])) continue;
      if (wanted.text && !words[row].includes(wanted.text)) continue;
      shown.push(row);
    }
    if (wanted.column !== null) shown.sort(compare(wanted.column, wanted.down ? -1 : 1));
    limit = PAGE;
    draw();
  };

  const cell = (column, row) => {
    const made = document.createElement("td");
    const text = texts[column][row];
    made.textContent = text;
    made.className = columns[column].kind;
    if (columns[column].label) made.dataset.label = columns[column].title;
    if (text === "-") made.dataset.empty = "";
    return made;
  };

  const draw = () => {
    const made = document.createDocumentFragment();
    for (const row of shown.slice(0, limit)) {
      const line = document.createElement("tr");
      line.append(...columns.map((_, column) => cell(column, row)));
      made.append(line);
    }
    body.replaceChildren(made);
    more.hidden = shown.length <= limit;
    more.textContent = `Show ${Math.min(PAGE, shown.length - limit).toLocaleString("en")} more`;
    const listed = Math.min(limit, shown.length).toLocaleString("en");
    tally.textContent = `${shown.length.toLocaleString("en")} match, ${listed} listed`;
  };

  const press = (button, on) => button.setAttribute("aria-pressed", String(on));
  const ofFinding = [...document.querySelectorAll("button[data-finding]")];
  const select = (finding) => {
    wanted.finding = finding;
    ofFinding.forEach((button) => press(button, Number(button.dataset.finding) === finding));
    choose();
  };

  heads.forEach((head, column) =>
    head.querySelector("button").addEventListener("click", () => {
      wanted.down = wanted.column === column && !wanted.down;
      wanted.column = column;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", wanted.down ? "descending" : "ascending");
      choose();
    }),
  );
  document.querySelectorAll("button[data-state]").forEach((button) =>
    button.addEventListener("click", () => {
      const on = !wanted.states.delete(button.dataset.state);
      if (on) wanted.states.add(button.dataset.state);
      press(button, on);
      choose();
    }),
  );
  ofFinding.forEach((button) =>
    button.addEventListener("click", () => {
      const finding = Number(button.dataset.finding);
      select(wanted.finding === finding ? null : finding);
    }),
  );
  document.querySelectorAll("a[data-finding]").forEach((link) =>
    link.addEventListener("click", () => select(Number(link.dataset.finding))),
  );
  search.addEventListener("input", () => {
    wanted.text = search.value.trim().toLowerCase();
    choose();
  });
  more.addEventListener("click", () => {
    limit += PAGE;
    draw();
  });
  choose();
})();
