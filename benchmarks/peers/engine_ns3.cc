// The work of benchmarks/engine.py on ns-3: two nodes 10 ms apart, connections of 100 octets there and 500 back,
// closed by the client, TIME_WAIT of 60 s.
//
//   engine_ns3 lives COUNT GAP_NS WARM | held COUNT | waits COUNT | bulk OCTETS
//
// Prints one JSON object of metrics. Memory is the difference of resident set sizes.

#include <ns3/boolean.h>
#include <ns3/config.h>
#include <ns3/double.h>
#include <ns3/inet-socket-address.h>
#include <ns3/internet-stack-helper.h>
#include <ns3/ipv4-address-helper.h>
#include <ns3/ipv4-static-routing-helper.h>
#include <ns3/ipv4.h>
#include <ns3/node-container.h>
#include <ns3/point-to-point-helper.h>
#include <ns3/simulator.h>
#include <ns3/string.h>
#include <ns3/tcp-socket-factory.h>
#include <ns3/traffic-control-helper.h>
#include <ns3/uinteger.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <sys/resource.h>
#include <unistd.h>

using namespace ns3;

namespace {

constexpr uint16_t PORT = 80;
constexpr uint32_t FIRST_PORT = 32768;
constexpr uint32_t PORTS = 28000;
constexpr uint32_t REQUEST = 100;
constexpr uint32_t RESPONSE = 500;
constexpr int64_t SECOND = 1000000000;

NodeContainer nodes;
Ipv4Address server_address;
std::vector<Ipv4Address> addresses;
uint64_t wanted, opened, done, octets_read, segments;
int64_t gap;
bool hold;

double cpu_seconds() {
    rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

double peak_mb() {
    rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_maxrss / 1024.0;
}

double resident_octets() {
    long total, resident;
    std::ifstream("/proc/self/statm") >> total >> resident;
    return static_cast<double>(resident) * sysconf(_SC_PAGESIZE);
}

void sent(Ptr<const Packet>, Ptr<Ipv4>, uint32_t) { segments++; }

uint32_t read_all(Ptr<Socket> socket) {
    uint32_t size = 0;
    while (Ptr<Packet> packet = socket->Recv()) {
        if (packet->GetSize() == 0) {
            break;
        }
        size += packet->GetSize();
    }
    return size;
}

void answer(Ptr<Socket> socket) {
    if (read_all(socket) == REQUEST) {
        socket->Send(Create<Packet>(RESPONSE));
    }
}

void close_as_well(Ptr<Socket> socket) { socket->Close(); }

void accepted(Ptr<Socket> socket, const Address&) {
    socket->SetRecvCallback(MakeCallback(&answer));
    socket->SetCloseCallbacks(MakeCallback(&close_as_well), MakeNullCallback<void, Ptr<Socket>>());
}

void ask(Ptr<Socket> socket) { socket->Send(Create<Packet>(REQUEST)); }

void answered(Ptr<Socket> socket) {
    if (read_all(socket) == RESPONSE) {
        done++;
        if (!hold) {
            socket->Close();
        }
    }
}

void open_next() {
    Ptr<Socket> socket = Socket::CreateSocket(nodes.Get(0), TcpSocketFactory::GetTypeId());
    socket->Bind(InetSocketAddress(addresses[opened / PORTS], FIRST_PORT + opened % PORTS));
    socket->SetConnectCallback(MakeCallback(&ask), MakeNullCallback<void, Ptr<Socket>>());
    socket->SetRecvCallback(MakeCallback(&answered));
    socket->Connect(InetSocketAddress(server_address, PORT));
    if (++opened < wanted) {
        Simulator::Schedule(NanoSeconds(gap), &open_next);
    }
}

// Two nodes; as little between TCP and the link as ns-3 allows: no IPv6, static routes, no queue discipline.
void build(uint64_t count, const char* rate, const char* delay) {
    Config::SetDefault("ns3::TcpSocket::SegmentSize", UintegerValue(1448));
    Config::SetDefault("ns3::TcpSocket::InitialCwnd", UintegerValue(10));
    Config::SetDefault("ns3::TcpSocketBase::MaxSegLifetime", DoubleValue(30.0));
    nodes.Create(2);
    PointToPointHelper link;
    link.SetDeviceAttribute("DataRate", StringValue(rate));
    link.SetChannelAttribute("Delay", StringValue(delay));
    link.SetQueue("ns3::DropTailQueue<Packet>", "MaxSize", StringValue("4096p"));
    NetDeviceContainer devices = link.Install(nodes);
    InternetStackHelper internet;
    internet.SetIpv6StackInstall(false);
    internet.SetRoutingHelper(Ipv4StaticRoutingHelper());
    internet.Install(nodes);
    Ipv4AddressHelper numbers("10.0.0.0", "255.0.0.0");
    Ipv4InterfaceContainer interfaces = numbers.Assign(devices);
    TrafficControlHelper().Uninstall(devices);
    addresses.push_back(interfaces.GetAddress(0));
    server_address = interfaces.GetAddress(1);
    Ptr<Ipv4> client = nodes.Get(0)->GetObject<Ipv4>();
    for (uint64_t more = 1; more <= count / PORTS; more++) {
        Ipv4Address address(0x0A010000 + more);
        client->AddAddress(1, Ipv4InterfaceAddress(address, Ipv4Mask("255.0.0.0")));
        addresses.push_back(address);
    }
    for (uint32_t i = 0; i < 2; i++) {
        nodes.Get(i)->GetObject<Ipv4>()->TraceConnectWithoutContext("Tx", MakeCallback(&sent));
    }
}

Ptr<Socket> listener() {
    Ptr<Socket> socket = Socket::CreateSocket(nodes.Get(1), TcpSocketFactory::GetTypeId());
    socket->Bind(InetSocketAddress(Ipv4Address::GetAny(), PORT));
    socket->Listen();
    return socket;
}

void load(uint64_t count, int64_t every, bool held) {
    wanted = count;
    gap = every;
    hold = held;
    build(count, "100Gbps", "10ms");
    listener()->SetAcceptCallback(MakeNullCallback<bool, Ptr<Socket>, const Address&>(), MakeCallback(&accepted));
    Simulator::Schedule(NanoSeconds(0), &open_next);
}

void run_until(int64_t instant) {
    Simulator::Stop(NanoSeconds(instant) - Simulator::Now());
    Simulator::Run();
}

void check(uint64_t least) {
    if (done < least) {
        std::fprintf(stderr, "%lu of %lu connections were answered\n", done, least);
        std::exit(1);
    }
}

void lives(uint64_t count, int64_t every, uint64_t warm) {
    uint64_t tail = warm ? SECOND / every : 0;
    load(warm + count + tail, every, false);
    if (warm) {
        run_until(warm * every);
    }
    auto wall = std::chrono::steady_clock::now();
    double cpu = cpu_seconds();
    if (warm) {
        run_until((warm + count) * every);
    } else {
        Simulator::Run();
    }
    cpu = cpu_seconds() - cpu;
    std::chrono::duration<double> passed = std::chrono::steady_clock::now() - wall;
    check(warm + count - tail);
    std::printf("{\"connections_per_second\": %f, \"cpu_s\": %f, \"wall_s\": %f, \"peak_rss_mb\": %f, "
                "\"segments_per_connection\": %f}\n",
                count / cpu, cpu, passed.count(), peak_mb(), double(segments) / opened);
}

double grown(uint64_t count, bool held) {
    int64_t every = SECOND / 1000;
    load(count + 1, every, held);
    run_until(every - 1);
    double before = resident_octets();
    run_until(count * every + SECOND);
    check(count + 1);
    return (resident_octets() - before) / count;
}

void give(Ptr<Socket> socket, uint32_t room) {
    while (wanted && room) {
        uint32_t size = std::min<uint64_t>({wanted, room, 65536});
        int taken = socket->Send(Create<Packet>(size));
        if (taken <= 0) {
            return;
        }
        wanted -= taken;
        room = socket->GetTxAvailable();
    }
    if (!wanted) {
        socket->Close();
    }
}

void start(Ptr<Socket> socket) {
    give(socket, socket->GetTxAvailable());
}

void take(Ptr<Socket> socket) { octets_read += read_all(socket); }

void accept_bulk(Ptr<Socket> socket, const Address&) {
    socket->SetRecvCallback(MakeCallback(&take));
    socket->SetCloseCallbacks(MakeCallback(&close_as_well), MakeNullCallback<void, Ptr<Socket>>());
}

void bulk(uint64_t octets) {
    Config::SetDefault("ns3::TcpSocket::SndBufSize", UintegerValue(4 << 20));
    Config::SetDefault("ns3::TcpSocket::RcvBufSize", UintegerValue(4 << 20));
    build(1, "10Gbps", "1ms");
    wanted = octets;
    listener()->SetAcceptCallback(MakeNullCallback<bool, Ptr<Socket>, const Address&>(), MakeCallback(&accept_bulk));
    Ptr<Socket> socket = Socket::CreateSocket(nodes.Get(0), TcpSocketFactory::GetTypeId());
    socket->SetConnectCallback(MakeCallback(&start), MakeNullCallback<void, Ptr<Socket>>());
    socket->SetSendCallback(MakeCallback(&give));
    double cpu = cpu_seconds();
    socket->Connect(InetSocketAddress(server_address, PORT));
    Simulator::Run();
    cpu = cpu_seconds() - cpu;
    if (octets_read != octets) {
        std::fprintf(stderr, "%lu of %lu octets arrived\n", octets_read, octets);
        std::exit(1);
    }
    std::printf("{\"send_mb_per_s\": %f, \"cpu_s\": %f}\n", octets / 1e6 / cpu, cpu);
}

} // namespace

int main(int argc, char** argv) {
    std::string work = argc > 2 ? argv[1] : "";
    uint64_t count = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 0;
    if (work == "lives" && argc == 5) {
        lives(count, std::atoll(argv[3]), std::strtoull(argv[4], nullptr, 10));
    } else if (work == "held") {
        std::printf("{\"octets_per_connection\": %f}\n", grown(count, true) / 2);
    } else if (work == "waits") {
        std::printf("{\"octets_per_time_wait\": %f}\n", grown(count, false));
    } else if (work == "bulk") {
        bulk(count);
    } else {
        std::fprintf(stderr, "engine_ns3 lives COUNT GAP_NS WARM | held COUNT | waits COUNT | bulk OCTETS\n");
        return 2;
    }
    return 0;
}
