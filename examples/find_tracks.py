"""Find the tracks of a simulated event and judge them: python examples/find_tracks.py"""

from __future__ import annotations

import rheinfall as rf


def main() -> None:
    finder = rf.TrackFinder.load("demo")
    (event,) = rf.simulation.simulate(1, pile_up=20, seed=1)
    tracks = finder(event.hits)
    print(f"{len(event.hits)} hits, {len(tracks)} tracks, status {tracks.status}")
    for stage, ms in finder.timings.items():
        print(f"  {stage:10s} {ms:7.2f} ms")
    match = rf.metrics.match_tracks(tracks, event.truth, rule="double_majority", min_pt=1.0)
    print(f"efficiency {match.efficiency:.3f}, fakes {match.fake_rate:.4f} (double majority, pT > 1 GeV)")
    first = tracks[0]
    print("first track:", *(f"({event.hits.x[i]:.1f}, {event.hits.y[i]:.1f}, {event.hits.z[i]:.1f})" for i in first))


if __name__ == "__main__":
    main()
