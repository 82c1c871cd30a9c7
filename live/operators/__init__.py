"""What operators may do, what needs a second one, and what is told of it. It knows no HTTP."""
