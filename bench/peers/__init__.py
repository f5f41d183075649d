"""Other voice servers over the same models, and an independent caller: what Morgan is compared with."""
