"""Gives every model of an engine its place, and moves them between uses."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from attrs import evolve, frozen

from itk_engine.errors import OutOfMemoryError
from itk_engine.ops.fp8 import merge_fidelity, quantise_linears

from .memory import device_budget_bytes, free_device_memory, host_budget_bytes
from .model_bytes import ModelBytes
from .planner import Demand, Pinned, PlanError, Wishes, plan_placement
from .sizes import Picture
from .streaming import BlockStreamer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

    from itk_engine.model import DiTConfig
    from itk_engine.ops.fp8 import Fidelity
    from itk_engine.weights import Models

    from .planner import Fp8, Plan

_NO_LIMIT = 2**60  # a CPU's memory is where everything lies already


@frozen(kw_only=True)
class FirstPlaces:
    """Where the large models are read to, before any generation is known."""

    transformer: torch.device
    text: torch.device


def first_places(
    shape: DiTConfig,
    device: torch.device,
    *,
    dtype: torch.dtype,
    budget_bytes: int | None = None,
    fp8: Fp8 = "never",
    quantised: bool = False,
) -> FirstPlaces:
    """Choose: straight onto the device where a generation of the small size fits, else the host.

    The encoders are taken to have their published sizes, and a file that is `quantised` one byte
    for each weight.
    """
    cpu = torch.device("cpu")
    demand = Demand(
        picture=Picture(height=640, width=640),
        precision="float32" if dtype == torch.float32 else "bfloat16",
    )
    models = ModelBytes.published(shape, "fp8" if quantised else demand.precision)
    try:
        plan = plan_placement(
            shape,
            demand,
            budget_bytes=_budget(device, budget_bytes),
            models=models,
            wishes=Wishes(fp8=fp8),
        )
    except PlanError:
        return FirstPlaces(transformer=cpu, text=cpu)
    whole = plan.streamed_blocks == 0 and plan.precision != "fp8"
    return FirstPlaces(
        transformer=device if whole else cpu,
        text=device if plan.text_encoder == "device" else cpu,
    )


class Home:
    """Keeps an engine's models where a plan says.

    The models may arrive on the device or on the host. `arrange` plans a generation and moves
    what must move; between generations everything stays where it is.
    """

    def __init__(
        self,
        models: Models,
        device: torch.device,
        *,
        budget_bytes: int | None = None,
        fp8: Fp8 = "never",
    ) -> None:
        self._models = models
        self._device = device
        self._fp8: Fp8 = fp8
        self._budget = budget_bytes
        self._blocks: BlockStreamer | None = None
        self._text: BlockStreamer | None = None
        self.plan: Plan | None = None
        self.fidelity: Fidelity | None = None

    def allow(self, budget_bytes: int | None) -> None:
        """Plan with another budget from the next `arrange` on; None is all that is free."""
        self._budget = budget_bytes

    @torch.inference_mode(mode=False)  # weights outlive the inference that a caller may be in
    def arrange(self, demand: Demand, wishes: Wishes | None = None) -> Plan:
        """Plan a generation and bring the models into place.

        Raises:
            OutOfMemoryError: nothing that may be moved makes it fit.
        """
        demand = evolve(
            demand,
            precision="float32" if self._dtype == torch.float32 else "bfloat16",
            vae_bytes_per_value=self._models.vae.conv1.weight.element_size(),
        )
        plan = self._planned(demand, evolve(wishes or Wishes(), fp8=self._fp8))
        if plan.precision == "fp8" and self.fidelity is None:
            self.fidelity = self._quantise()
        # First: a text encoder that leaves makes room for blocks. One that comes back finds room,
        # since it is on the device only where it fits beside all blocks.
        self._place_beside(plan)
        if plan.streamed_blocks or plan.release_between_uses or self._blocks is not None:
            self._stream(plan)
        else:
            self._models.dit.to(self._device)
        free_device_memory(self._device)
        self.plan = plan
        return plan

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Have the text encoder ready, its layers streamed where it lives on the host."""
        if self._text is None or not self._text.streamed:
            yield
            return
        self._text_comes(self._text)
        try:
            yield
        finally:
            self._text_leaves(self._text)
            free_device_memory(self._device)

    def see(self, pixels: Tensor) -> Tensor:
        """Encode pictures as `VisionEncoder.encode` does, which is fetched where it is away."""
        clip = self._models.clip
        if self.plan is None or self.plan.image_encoder == "device":
            return clip.encode(pixels)
        with torch.inference_mode(mode=False):
            clip.to(self._device)
        try:
            return clip.encode(pixels)
        finally:
            with torch.inference_mode(mode=False):
                clip.to("cpu")
            free_device_memory(self._device)

    def rest(self) -> None:
        """After a chunk's steps: make room for the autoencoder.

        Where blocks are streamed, memory is tight, so what the allocator keeps of the steps goes
        back; where the plan says so, the transformer's memory too.
        """
        if self.plan is None or self._blocks is None:
            return
        if self.plan.release_between_uses:
            self._blocks.release()
        if self.plan.release_between_uses or self.plan.streamed_blocks:
            free_device_memory(self._device)

    def close(self) -> None:
        """Stop streaming; streamed weights end on the host."""
        if self._text is not None:
            self._text_leaves(self._text)
        for streamer in (self._blocks, self._text):
            if streamer is not None:
                streamer.close()
        self._blocks = self._text = None

    @property
    def _dtype(self) -> torch.dtype:
        return self._models.dit.patch_embedding.weight.dtype

    def _planned(self, demand: Demand, wishes: Wishes) -> Plan:
        if self.fidelity is not None:  # quantised weights stay quantised
            wishes = evolve(wishes, fp8="always")
        try:
            return plan_placement(
                self._models.dit.config,
                demand,
                budget_bytes=_budget(self._device, self._budget),
                host_budget_bytes=None if self._blocks is not None else self._host_bytes(),
                models=self._model_bytes(),
                wishes=wishes,
                pinned=Pinned(blocks=self._blocks is not None, text=self._text is not None),
            )
        except PlanError as error:
            raise OutOfMemoryError(
                device=str(self._device), advice=str(error), during="planning"
            ) from error

    def _host_bytes(self) -> int:
        """Bytes that may be pinned: weights that lie on the host now make room for themselves."""
        weights = self._models.dit.parameters()
        on_host = sum(p.numel() * p.element_size() for p in weights if p.device.type == "cpu")
        return host_budget_bytes() + on_host

    def _model_bytes(self) -> ModelBytes:
        dit, text = self._models.dit, self._models.text.model
        blocks = _bytes(dit.blocks)
        return ModelBytes(
            block=blocks // len(dit.blocks),
            outer=_bytes(dit) - blocks,
            text=_bytes(text),
            text_embedding=_bytes(text.token_embedding),
            text_layers=len(text.blocks),
            image=_bytes(self._models.clip),
            vae=_bytes(self._models.vae),
            speech=_bytes(self._models.speech),
        )

    def _quantise(self) -> Fidelity:
        """Quantise block by block on the device, so that the whole model need never be there."""
        reports = []
        for index, block in enumerate(self._models.dit.blocks):
            before = next(block.parameters()).device
            reports.append(quantise_linears(block.to(self._device), prefix=f"blocks.{index}"))
            block.to(before)
        free_device_memory(self._device)
        return merge_fidelity(reports)

    def _stream(self, plan: Plan) -> None:
        if self._blocks is None:
            self._blocks = BlockStreamer(
                self._models.dit.blocks,
                self._device,
                resident=plan.resident_blocks,
                recallable=True,
            )
        else:
            self._blocks.keep(plan.resident_blocks)
        if plan.release_between_uses:
            self._blocks.release()  # they come with the first step
        else:
            self._blocks.recall()
        for name, part in self._models.dit.named_children():
            if name != "blocks":
                part.to(self._device)

    def _place_beside(self, plan: Plan) -> None:
        self._models.vae.to(self._device)
        self._models.clip.to(self._device if plan.image_encoder == "device" else "cpu")
        model, away = self._models.text.model, plan.text_encoder == "host"
        if self._text is None:
            if not away:
                model.to(self._device)
                return
            self._text = BlockStreamer(model.blocks, self._device, resident=0, recallable=True)
            self._text_leaves(self._text)
        elif away and not self._text.streamed:
            self._text.keep(0)
            self._text_leaves(self._text)
        elif self._text.streamed and not away:
            self._text.keep(len(model.blocks))
            self._text_comes(self._text)

    @torch.inference_mode(mode=False)
    def _text_comes(self, layers: BlockStreamer) -> None:
        layers.recall()
        self._models.text.model.token_embedding.to(self._device)
        self._models.text.model.norm.to(self._device)

    @torch.inference_mode(mode=False)
    def _text_leaves(self, layers: BlockStreamer) -> None:
        layers.release()
        self._models.text.model.token_embedding.to("cpu")
        self._models.text.model.norm.to("cpu")


def _budget(device: torch.device, asked_bytes: int | None) -> int:
    if asked_bytes is not None:
        return asked_bytes
    return _NO_LIMIT if device.type == "cpu" else device_budget_bytes(device)


def _bytes(model: nn.Module) -> int:
    """What the weights of a model take, wherever they lie."""
    weights = (*model.parameters(), *model.buffers())
    return sum(weight.numel() * weight.element_size() for weight in weights)
