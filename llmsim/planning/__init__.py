"""Planning: a prompt becomes a turn or a fault, with its timing; start with `planner`. Only here are random numbers drawn."""
