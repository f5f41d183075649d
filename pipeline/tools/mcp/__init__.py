"""Tools of MCP servers (https://modelcontextprotocol.io): programs of this machine, and servers behind HTTP."""
