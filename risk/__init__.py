"""The core: pure rules over frozen values, and ``Book``, the one object with state.

Importing it sets the decimal context of the process (34 digits, half-even), here and nowhere else: money is
exact only if every thread that touches it computes alike.
"""

from risk.numbers import install_context

install_context()
