"""Jobs: from a resolved configuration to a record, in a process of its own. Knows tasks, methods, codegen and reports at once."""
