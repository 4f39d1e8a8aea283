"""The demo's second act: recordings become signals, decisions, agreed outcomes and orders on the paper exchange."""

import json
from typing import TYPE_CHECKING, Any

from meshwork.local import demo_cast as cast
from meshwork.local.demo_setup import as_owner, prepare_demo
from meshwork.local.visitor import StepFailed, Visitor

if TYPE_CHECKING:
    from meshwork.local.demo import Play

# The oracle that signs twice, so that it is seen to be caught.
TWO_FACED = "emil-1"
SWITCH = {"MESH_NODE_EQUIVOCATE": "1"}


class Trade:
    """The second act. Every step raises StepFailed unless it saw what it should."""

    def __init__(self, play: "Play") -> None:
        self.play = play
        self.stack = play.stack

    def run(self) -> dict[str, Any]:
        """All steps; the facts that the last line prints."""
        self.train()
        self.replay()
        facts = json.loads(prepare_demo(self.stack, "trading"))
        round_id = facts.pop("round")
        self.play.step(
            f"{facts['scans']} scans, {facts['signals']} signals, {facts['decisions']} decisions; "
            f"{facts['rounds_certified']} rounds certified, {facts['orders_filled']} orders filled."
        )
        for name in ("scans", "signals", "decisions", "rounds_certified", "orders_filled"):
            if not facts[name]:
                raise StepFailed(f"The replay led to no {name}.")
        facts["certificate_verified"] = self.verify(round_id)
        if not facts["equivocation_caught"]:
            raise StepFailed(f"{TWO_FACED} signed twice and was not caught.")
        if not facts["equivocation_slashed"]:
            raise StepFailed(f"{TWO_FACED} signed twice, and its owner was not slashed.")
        self.play.step(f"{TWO_FACED} signed twice: the evidence was verified, and its owner's stake lies in escrow.")
        return dict(facts)

    def train(self) -> None:
        """The baseline and MSRR, trained on the candles before the replay, and the gate's word."""
        said = as_owner(self.stack, "train")
        serves = next((line.split()[1] for line in said.splitlines() if line.startswith("serves")), None)
        if serves is None:
            raise StepFailed(f"No model serves: {said[:500]}")
        self.play.step(f"Trained on the recording's past; the gate serves the {serves}.")

    def replay(self) -> None:
        """Market time runs through the recordings; rounds run between the nodes."""
        self.play.step("Replaying recordings of different days, joined to show the machinery.")
        said = as_owner(self.stack, "replay")
        if "The replay has ended." not in said:
            raise StepFailed(f"The replay did not end: {said[-500:]}")

    def verify(self, round_id: str) -> bool:
        """A certificate from its page, checked offline."""
        visitor = Visitor(self.play.site)
        answer = visitor.get(f"/trading/rounds/{round_id}/certificate.json")
        path = self.stack.directory.path / "requester" / f"{round_id}.json"
        path.write_text(answer.text)
        offline = {**self.play.outside, "MESH_URL": "http://localhost:1", "NO_COLOR": "1"}
        cast.mesh("verify", str(path), environment=offline)
        self.play.step(f"The oracles' certificate verifies offline: {path}")
        return True
