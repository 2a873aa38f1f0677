"""The lab: every claim about closing a connection as an experiment, on the engine and on a kernel, with a verdict."""
