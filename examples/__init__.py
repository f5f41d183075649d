"""Morgan from the outside and from the inside, one small program each; `tests/examples` runs them."""
