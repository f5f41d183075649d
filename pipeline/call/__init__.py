"""One call: its states, its events, its effects and the actor that runs them."""
