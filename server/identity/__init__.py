"""Who asks: keys, JWTs and tokens become a principal, and a principal reaches what its scopes and its user allow."""
