"""Decides what stays on the device, what is streamed to it and what runs at fp8."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import field, frozen

from itk_engine.errors import EngineError

from .model_bytes import ModelBytes
from .sizes import (
    GIB,
    Picture,
    Precision,
    activation_bytes,
    block_bytes,
    block_parameters,
    outer_parameters,
    residual_cache_bytes,
    vae_bytes,
)

if TYPE_CHECKING:
    from itk_engine.model import DiTConfig

Fp8 = Literal["never", "when_needed", "always"]
Residence = Literal["device", "host"]

SLOTS = 2  # one block computes while the next one arrives
CONTEXT_BYTES = int(0.6 * GIB)  # the driver's context and the libraries' workspaces
FRAGMENTATION = 1.06  # what the allocator holds over what is asked of it, measured under a cap


class PlanError(EngineError):
    """No plan keeps a generation within the memory it may use."""


@frozen(kw_only=True)
class Demand:
    """What a generation asks for, as far as memory cares.

    `precision` is what the weights compute in before any quantisation at load.
    """

    picture: Picture
    speakers: int = 1
    branches: int = 1
    keeps_residuals: bool = False
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    vae_bytes_per_value: int = 4


@frozen(kw_only=True)
class Wishes:
    """What an operator or a job forces; None leaves the choice to the planner.

    `offload_model` empties the device of the transformer's blocks, the text encoder and the image
    encoder after each use. `persistent_parameters` is the reference's
    num_persistent_param_in_dit: so many of the transformer's parameters, counted in the order
    of its definition, stay on the device and the rest is streamed. `fp8` changes the picture
    a little, so the planner uses it only where it may.
    """

    offload_model: bool | None = None
    persistent_parameters: int | None = None
    fp8: Fp8 = "never"


@frozen(kw_only=True)
class Pinned:
    """Of which models an engine has pinned copies already; they stay, whatever is planned."""

    blocks: bool = False
    text: bool = False


@frozen(kw_only=True)
class Plan:
    """Where every model lives during a generation, and the memory that this takes.

    An encoder on the host comes to the device while it is used. The transformer's parts outside
    its blocks, the speech encoder and the autoencoder are always on the device. Peaks are bytes
    on the device, one for each phase.

    `host_bytes` is what is read from the host at every use: streamed blocks (all, where they are
    released between uses) and a text encoder that lives there. `pinned_bytes` is what is
    page-locked: all blocks once any is streamed or released, so that another generation may keep
    another number of them, and the text encoder's layers once it has been on the host.
    """

    precision: Precision
    blocks: int
    resident_blocks: int
    text_encoder: Residence
    image_encoder: Residence
    release_between_uses: bool
    budget_bytes: int
    text_peak_bytes: int
    sampling_peak_bytes: int
    vae_peak_bytes: int
    host_bytes: int
    pinned_bytes: int
    streamed_bytes_per_forward: int
    why: tuple[str, ...] = field(default=(), converter=tuple)

    @property
    def streamed_blocks(self) -> int:
        """Blocks whose weights come from the host at every forward."""
        return self.blocks - self.resident_blocks

    @property
    def peak_bytes(self) -> int:
        """The most that any phase takes."""
        return max(self.text_peak_bytes, self.sampling_peak_bytes, self.vae_peak_bytes)

    def seconds_streamed_per_forward(self, *, gigabytes_per_second: float) -> float:
        """How long the copies of one forward take; hidden as long as computing takes longer."""
        return self.streamed_bytes_per_forward / (gigabytes_per_second * 1e9)

    def __str__(self) -> str:
        in_blocks = " in the blocks' linear layers" if self.precision == "fp8" else ""
        weights = (
            f"{self.precision} weights{in_blocks}, "
            f"{self.resident_blocks} of {self.blocks} blocks stay on the device, "
            f"{self.streamed_blocks} are streamed "
            f"({self.streamed_bytes_per_forward / GIB:.1f} GiB a forward)"
        )
        encoders = (
            f"text encoder on the {self.text_encoder}, image encoder on the {self.image_encoder}"
        )
        released = ("blocks leave the device between uses",) if self.release_between_uses else ()
        peaks = (
            f"peaks: text {self.text_peak_bytes / GIB:.1f}, "
            f"sampling {self.sampling_peak_bytes / GIB:.1f}, "
            f"autoencoder {self.vae_peak_bytes / GIB:.1f} of {self.budget_bytes / GIB:.1f} GiB"
        )
        host = (
            f"{self.host_bytes / GIB:.1f} GiB come from the host, where "
            f"{self.pinned_bytes / GIB:.1f} GiB are pinned with the copies of what stays"
        )
        return "; ".join((weights, encoders, *released, peaks, host, *self.why))


def plan_placement(
    shape: DiTConfig,
    demand: Demand,
    *,
    budget_bytes: int,
    host_budget_bytes: int | None = None,
    models: ModelBytes | None = None,
    wishes: Wishes | None = None,
    pinned: Pinned | None = None,
) -> Plan:
    """Choose the placement that keeps the most on the device within a budget.

    bfloat16 and float32 weights are never given up unasked: streaming a block costs nothing
    as long as its copy is shorter than the block before it, and changes no value. fp8 is used
    when it is asked for, or when it may be used and exact weights do not fit the device whole.

    Args:
        shape: the transformer's configuration.
        demand: the largest generation that the plan must carry.
        budget_bytes: what the engine may use of the device.
        host_budget_bytes: what `Plan.host_bytes` may be; None is no limit. Copies of what stays
            do not count.
        models: what the models take; what the published ones take by default.
        wishes: what is forced.
        pinned: what the engine pinned for earlier generations; nothing by default.

    Raises:
        PlanError: even with everything streamed a phase does not fit.
    """
    wishes = wishes or Wishes()
    models = models or ModelBytes.published(
        shape, demand.precision, vae_bytes_per_value=demand.vae_bytes_per_value
    )
    order = _precisions(wishes.fp8, demand.precision)
    plans = [
        _Draft(
            shape,
            demand,
            models=models,
            wishes=wishes,
            pinned=pinned or Pinned(),
            precision=precision,
            budget_bytes=budget_bytes,
        ).plan()
        for precision in order
    ]
    fitting = [plan for plan in plans if _fits(plan, host_budget_bytes)]
    if not fitting:
        raise PlanError(_advice(plans[-1], host_budget_bytes))
    whole = [plan for plan in fitting if not plan.streamed_blocks]
    return (whole or fitting)[0]


def resident_blocks_for(shape: DiTConfig, persistent_parameters: int) -> int:
    """How many leading blocks stay when so many parameters may (the reference's rule).

    The reference walks the model in the order of its definition (embeddings, blocks, head,
    projections) and keeps parameters until the running total passes the number; everything
    after that is streamed. Here a block stays whole or is streamed whole.
    """
    image_and_speech_and_head = _parameters_after_the_blocks(shape)
    before = outer_parameters(shape) - image_and_speech_and_head
    left = persistent_parameters - before
    return max(0, min(shape.num_layers, left // block_parameters(shape)))


class _Draft:
    """One attempt: the sizes that follow from a precision, and the plan they allow."""

    def __init__(
        self,
        shape: DiTConfig,
        demand: Demand,
        *,
        models: ModelBytes,
        wishes: Wishes,
        pinned: Pinned,
        precision: Precision,
        budget_bytes: int,
    ) -> None:
        self.shape, self.demand, self.models = shape, demand, models
        self.wishes, self.pinned = wishes, pinned
        self.precision, self.budget = precision, budget_bytes
        # Quantising leaves alone what a file brought quantised.
        self.block = min(models.block, block_bytes(shape, precision))
        self.activation = activation_bytes(shape, demand.picture, precision) + self._residuals()
        decoding = vae_bytes(demand.picture, bytes_per_value=demand.vae_bytes_per_value)
        self.vae_work = max(decoding, models.image)  # the image encoder works beforehand

    def plan(self) -> Plan:
        """The placement with as many resident blocks as the budget or the wishes allow.

        Streaming two blocks more hides behind computing, fetching the image encoder does not; so
        that goes only where it is asked to, or where nothing else makes a generation fit.
        """
        if self.wishes.offload_model:
            return self._with_image("host")
        plan = self._with_image("device")
        return plan if plan.peak_bytes <= self.budget else self._with_image("host")

    def _with_image(self, image: Residence) -> Plan:
        release = bool(self.wishes.offload_model)
        text: Residence = "host" if release or not self._text_fits_beside_everything() else "device"
        resident, why = self._resident(text=text, image=image, release=release)
        if self.block < block_bytes(self.shape, self.precision):
            why += (f"a block came quantised, in {self.block / GIB:.2f} GiB",)
        streamed = self.shape.num_layers - resident
        held = self._held(resident)
        between = self.models.outer if release else held  # before the steps and after them
        kept = self._kept(text, image)
        text_work = 0 if text == "device" else self._text_streamed()
        return Plan(
            precision=self.precision,
            blocks=self.shape.num_layers,
            resident_blocks=resident,
            text_encoder=text,
            image_encoder=image,
            release_between_uses=release,
            budget_bytes=self.budget,
            text_peak_bytes=_padded(kept + between + text_work),
            sampling_peak_bytes=_padded(kept + held + self.activation),
            vae_peak_bytes=_padded(kept + between + self.vae_work),
            host_bytes=self._host(streamed, text=text, release=release),
            pinned_bytes=self._copies(
                blocks=bool(streamed) or release or self.pinned.blocks,
                text=text == "host" or self.pinned.text,
            ),
            streamed_bytes_per_forward=streamed * self.block,
            why=why,
        )

    def _residuals(self) -> int:
        if not self.demand.keeps_residuals:
            return 0
        return residual_cache_bytes(
            self.shape,
            self.demand.picture,
            branches=self.demand.branches,
            precision=self.precision,
        )

    def _held(self, resident: int) -> int:
        streamed = self.shape.num_layers - resident
        return self.models.outer + (resident + min(SLOTS, streamed)) * self.block

    def _kept(self, text: Residence, image: Residence) -> int:
        """Models beside the transformer that stay on the device in every phase."""
        return (
            self.models.vae
            + self.models.speech
            + (self.models.text if text == "device" else 0)
            + (self.models.image if image == "device" else 0)
        )

    def _text_streamed(self) -> int:
        """The text encoder's peak when its layers pass through two slots beside its embedding."""
        layers = self._text_layers() // max(1, self.models.text_layers)
        return self.models.text_embedding + SLOTS * layers

    def _text_layers(self) -> int:
        return self.models.text - self.models.text_embedding

    def _text_fits_beside_everything(self) -> bool:
        whole = self._held(self.shape.num_layers) + self._kept("device", "device")
        return _padded(whole + max(self.activation, self.vae_work)) <= self.budget

    def _resident(
        self, *, text: Residence, image: Residence, release: bool
    ) -> tuple[int, tuple[str, ...]]:
        if self.wishes.persistent_parameters is not None:
            asked = self.wishes.persistent_parameters
            blocks = resident_blocks_for(self.shape, asked)
            return blocks, (f"{asked} persistent parameters were asked for",)
        if self.wishes.offload_model is False:
            return self.shape.num_layers, ("everything was asked to stay",)
        text_work = 0 if text == "device" else self._text_streamed()
        beside = self.activation if release else max(self.activation, self.vae_work, text_work)
        base = self._kept(text, image) + beside
        for resident in range(self.shape.num_layers, 0, -1):
            if _padded(base + self._held(resident)) <= self.budget:
                return resident, ()
        return 0, ()

    def _host(self, streamed: int, *, text: Residence, release: bool) -> int:
        blocks = self.shape.num_layers if release else streamed
        text_bytes = self.models.text if text == "host" else 0
        return blocks * self.block + text_bytes

    def _copies(self, *, blocks: bool, text: bool) -> int:
        all_blocks = self.shape.num_layers * self.block if blocks else 0
        return all_blocks + (self._text_layers() if text else 0)


def _precisions(fp8: Fp8, exact: Literal["float32", "bfloat16"]) -> tuple[Precision, ...]:
    table: dict[Fp8, tuple[Precision, ...]] = {
        "never": (exact,),
        "when_needed": (exact, "fp8"),
        "always": ("fp8",),
    }
    return table[fp8]


def _fits(plan: Plan, host_budget_bytes: int | None) -> bool:
    fits_host = host_budget_bytes is None or plan.host_bytes <= host_budget_bytes
    return plan.peak_bytes <= plan.budget_bytes and fits_host


def _advice(plan: Plan, host_budget_bytes: int | None) -> str:
    if plan.peak_bytes <= plan.budget_bytes and host_budget_bytes is not None:
        return (
            f"{plan.host_bytes / GIB:.1f} GiB would have to come from host memory and "
            f"{host_budget_bytes / GIB:.1f} GiB may; allow fp8 or take a machine with more"
        )
    return (
        f"the generation needs {plan.peak_bytes / GIB:.1f} GiB on the device and "
        f"{plan.budget_bytes / GIB:.1f} GiB may be used; take a smaller size, fewer frames, "
        "a larger budget, or let the planner choose what stays"
    )


def _padded(size: int) -> int:
    return int(size * FRAGMENTATION) + CONTEXT_BYTES


def _parameters_after_the_blocks(shape: DiTConfig) -> int:
    d, clip = shape.dim, shape.clip_dim
    head = 2 * d + d * 4 * shape.out_dim + 4 * shape.out_dim
    image = 2 * clip + clip * clip + clip + clip * d + d + 2 * d
    window = shape.audio_blocks * shape.audio_channels
    hidden = shape.intermediate_dim
    first = shape.audio_window * window * hidden + hidden
    later = (shape.audio_window + shape.vae_scale - 1) * window * hidden + hidden
    tokens = shape.context_tokens * shape.output_dim
    speech = first + later + hidden * hidden + hidden + hidden * tokens + tokens
    return head + image + speech + 2 * shape.output_dim
