"""Which degree, batch and K for a pair, before any hardware is booked. All of it is modelled."""
