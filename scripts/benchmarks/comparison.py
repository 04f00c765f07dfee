"""llmsim's figures beside those of other servers.

Decisions:
* Like is compared with like: a peer's best row that may be quoted, and ours with as many connections.
"""

from .results import Closed, Paced, Ratio, best_closed, best_paced


def ratios(closed: tuple[Closed, ...], paced: tuple[Paced, ...], *, tokens: int) -> tuple[Ratio, ...]:
    """Compare one worker with each peer.

    Args:
        closed: Rows of throughput and streams.
        paced: Rows of pacing.
        tokens: Length of our streamed replies.
    """
    found = []
    peers = [row.target for row in closed if row.workers is None]
    peers += [row.target for row in paced if row.workers is None]
    for target in dict.fromkeys(peers):
        for part, unit, length in (("throughput", "requests/s", None), ("streams", "tokens/s", tokens)):
            theirs = best_closed(closed, part, target=target, workers=None)
            if theirs is None:
                continue
            alike = tuple(row for row in closed if row.connections == theirs.connections)
            if ours := best_closed(alike, part, tokens=length):
                found.append(
                    Ratio(part=part, target=target, unit=unit, llmsim=_rate(ours), other=_rate(theirs))
                )
        held, other = best_paced(paced), best_paced(paced, target=target, workers=None)
        if held and other:
            found.append(
                Ratio(part="pacing", target=target, unit="streams", llmsim=held.streams, other=other.streams)
            )
    return tuple(found)


def _rate(row: Closed) -> float:
    """Give what is compared: tokens where they are streamed, as peers choose their own length of reply."""
    return row.requests_per_second if row.tokens_per_second is None else row.tokens_per_second
