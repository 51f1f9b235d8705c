"""What a plan says of places is where the engine has its models."""

import copy
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import attrs
import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from itk_engine import GenerationRequest, OutOfMemoryError
from itk_engine.model import DiT, DiTConfig
from itk_engine.placement import Demand, Home, Plan, Wishes
from itk_engine.preparation import needs

DEVICE = torch.device("cpu", 0)  # where tensors go, while the host is plain "cpu"
EVERYTHING = 2**60


class Pretence(TorchFunctionMode):
    """Memory of the CPU that counts as a device: what is moved there is copied and remembered."""

    def __init__(self) -> None:
        super().__init__()
        self._there: dict[int, torch.UntypedStorage] = {}  # held, so that no address comes twice

    def __torch_function__(
        self, func: Any, _types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Do as asked, and follow what goes to the device or comes from it."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func not in (Tensor.to, torch.empty):
            return result
        wanted = next(
            (
                torch.device(each)
                for each in (*args[1:], kwargs.get("device"))
                if isinstance(each, (str, torch.device))
            ),
            None,
        )
        if wanted is None or self.has(result) == (wanted == DEVICE):
            return result
        result = result.detach().clone()
        if wanted == DEVICE:
            storage = result.untyped_storage()
            self._there[storage.data_ptr()] = storage
        return result

    def has(self, tensor: Tensor) -> bool:
        """Whether a tensor lies on the device."""
        return tensor.untyped_storage().data_ptr() in self._there

    def holds(self, *models: nn.Module) -> bool:
        """Whether all of the models lie on the device; it is an error if only parts do."""
        places = {self.has(each) for model in models for each in model.parameters()}
        assert len(places) == 1
        return places.pop()


@pytest.fixture
def pretence() -> Iterator[Pretence]:
    """Give the device that is none."""
    with Pretence() as mode:
        yield mode


@pytest.fixture
def several(models: Any, small_dit: Callable[..., DiT], small_config: DiTConfig) -> Any:
    """Return models whose transformer has more blocks than streaming has slots."""
    dit = small_dit(attrs.evolve(small_config, num_layers=5))
    return attrs.evolve(copy.deepcopy(models), dit=dit)


@pytest.fixture
def demand(models: Any, request_of: Callable[..., GenerationRequest]) -> Demand:
    """Return what a small generation asks for."""
    return needs(request_of(), bucket_scale=models.bucket_scale)[0]


def _agrees(plan: Plan, home: Home, models: Any, pretence: Pretence) -> None:
    """Hold the plan against the places of all parameters."""
    outside = [part for name, part in models.dit.named_children() if name != "blocks"]
    assert pretence.holds(models.vae, *outside)
    assert pretence.holds(models.clip) == (plan.image_encoder == "device")
    assert pretence.holds(models.text.model) == (plan.text_encoder == "device")
    blocks = [pretence.holds(block) for block in models.dit.blocks]
    assert sum(blocks) == (0 if plan.release_between_uses else plan.resident_blocks)
    streamers = [each for each in (home._blocks, home._text) if each is not None]
    packed = sum(each.host_bytes for each in streamers)
    tensors = sum(len(each._packed[at].pieces) for each in streamers for at in each._packed)
    if home.fidelity is None:
        norm = 4 * sum(each.numel() for each in models.text.model.norm.parameters())
        assert plan.pinned_bytes - norm <= packed <= plan.pinned_bytes + 256 * tensors


def _ever_smaller(home: Home, demand: Demand) -> Iterator[Plan]:
    """Arrange with one byte less than the last plan needs, until nothing fits."""
    with suppress(OutOfMemoryError):
        while True:
            yield (plan := home.arrange(demand))
            home.allow(plan.peak_bytes - 1)


@torch.no_grad()
def test_every_plan_is_kept_from_the_largest_budget_to_the_smallest_and_back(
    several: Any, demand: Demand, pretence: Pretence
) -> None:
    """Each budget is one byte under the last plan's peak, so every kind of plan comes up."""
    home = Home(several, DEVICE, budget_bytes=EVERYTHING)
    plans: list[Plan] = []
    for plan in _ever_smaller(home, demand):
        _agrees(plan, home, several, pretence)
        with home.reading():
            assert plan.text_encoder == "host" or pretence.holds(several.text.model)
        _agrees(plan, home, several, pretence)
        plans.append(plan)
    assert [plan.text_encoder for plan in plans[:2]] == ["device", "host"]
    assert plans[-1].image_encoder == "host"
    assert {plan.resident_blocks for plan in plans} >= {0, len(several.dit.blocks)}
    for plan in reversed(plans):
        home.allow(plan.budget_bytes)
        again = home.arrange(demand)
        _agrees(again, home, several, pretence)
        assert again == attrs.evolve(plan, pinned_bytes=again.pinned_bytes)
    assert (again.text_encoder, again.streamed_blocks) == ("device", 0)
    assert again.pinned_bytes == plans[-1].pinned_bytes > 0  # copies are kept, and it says so
    home.close()


@torch.no_grad()
@pytest.mark.parametrize(
    "wishes",
    [Wishes(offload_model=True), Wishes(offload_model=False), Wishes(persistent_parameters=0)],
)
def test_forced_plans_are_kept_too(
    several: Any, demand: Demand, pretence: Pretence, *, wishes: Wishes
) -> None:
    """After a plan that is the planner's own, and before one."""
    home = Home(several, DEVICE, budget_bytes=EVERYTHING)
    for each in (None, wishes, None, wishes):
        _agrees(home.arrange(demand, each), home, several, pretence)
    home.close()


@torch.no_grad()
def test_an_image_encoder_on_the_host_comes_while_it_sees(
    several: Any, demand: Demand, pretence: Pretence
) -> None:
    """It encodes on the device, gives the same and leaves again, whatever happens."""
    picture = torch.zeros(1, 3, 1, 32, 32)
    wanted = several.clip.encode(picture)
    home = Home(several, DEVICE, budget_bytes=EVERYTHING)
    seen: list[bool] = []
    several.clip.register_forward_pre_hook(lambda *_: seen.append(pretence.holds(several.clip)))
    for wishes in (Wishes(offload_model=True), Wishes()):
        plan = home.arrange(demand, wishes)
        with torch.inference_mode():
            assert torch.equal(home.see(picture), wanted)
        with pytest.raises(RuntimeError):
            home.see(torch.zeros(1, 2, 1, 32, 32))
        _agrees(plan, home, several, pretence)
    assert seen
    assert all(seen)


@torch.no_grad()
def test_weights_that_were_quantised_once_are_planned_as_such(several: Any, demand: Demand) -> None:
    """A larger budget does not bring exact weights back, and the plan does not say so."""
    home = Home(several, DEVICE, budget_bytes=EVERYTHING, fp8="when_needed")
    plan = home.arrange(demand)
    while plan.precision != "fp8":
        assert home.fidelity is None
        home.allow(plan.peak_bytes - 1)
        plan = home.arrange(demand)
    assert home.fidelity is not None
    home.allow(EVERYTHING)
    assert home.arrange(demand).precision == "fp8"
