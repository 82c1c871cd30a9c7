"""Money's way in and out: the address book, what withdrawals must pass, the port to the chains. It knows no HTTP."""
