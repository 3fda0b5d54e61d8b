"""What an ad changed: experiments, repurchase, uplift, and the ledger that keeps all answers beside each other."""

__all__: list[str] = []
