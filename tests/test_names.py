"""Names as context: a token for each word, the same in every name, through training, files, guidance and errors."""

import pytest
import torch
from test_unet import randomise

from ddpm_lite import (
    ConditionalUNet,
    NameEncoder,
    TrainConfig,
    UNet,
    UNetConfig,
    fit,
    guided,
    linear_schedule,
    open_model,
    sample,
    train,
    z_model,
)
from ddpm_lite.files import weights
from ddpm_lite.runs.identity import check_same
from ddpm_lite.viz.export_page import export_page

NAMES = ("red heart", "Green heart", "man: green hair", "keycap: #")
SHORT = linear_schedule(3, 0.1, 0.5)


def named_model(channels=(8, 16)):
    torch.manual_seed(0)
    unet = UNet(UNetConfig(8, 1, channels, blocks=1, context_dim=6))
    model = randomise(ConditionalUNet(unet, NameEncoder(NAMES, 6))).eval()
    model.encoder.table.reset_parameters()
    return model


def test_a_name_is_a_token_for_each_word_filled_up_with_no_word():
    encoder = NameEncoder(NAMES, 6)
    assert list(encoder.words) == ["#", "green", "hair", "heart", "keycap", "man", "red"]
    assert (encoder.labels, encoder.none, encoder.tokens, encoder.width) == (4, 4, 3, 6)
    assert encoder.read(["red heart", "Heart, RED!", ""]).tolist() == [[7, 4, 0], [4, 7, 0], [0, 0, 0]]
    tokens = encoder(torch.arange(5))
    assert tokens.shape == (5, 3, 6)
    assert torch.equal(tokens, encoder.embed([*NAMES, ""]))
    assert torch.equal(tokens[0, 1], tokens[1, 1])  # a heart is a heart
    assert torch.equal(tokens[1, 0], tokens[2, 1])  # and green is green, wherever it is in the name
    assert torch.equal(tokens[4], tokens[0, 2:].expand(3, -1))
    assert torch.pdist(encoder.table.weight).min() > 0.1
    assert [name for name, _ in encoder.named_parameters()] == ["table.weight"]
    assert list(encoder.state_dict()) == ["table.weight"]  # which words a name has follows from the names


def test_a_name_that_was_never_a_label_is_asked_for_by_its_words():
    model, schedule = named_model(), linear_schedule(20, 0.01, 0.2)
    asked = model.encoder.embed(["red hair"]).detach()
    x_0 = [
        list(sample(model.unet, schedule, (1, 1, 8, 8), context=c, seed=0))[-1][1] for c in (asked, asked[:, [1, 0, 2]])
    ]
    torch.testing.assert_close(x_0[0], x_0[1], rtol=0, atol=1e-5)  # the order of the words has no meaning
    other = list(sample(model, schedule, (1, 1, 8, 8), context=torch.tensor([0]), seed=0))[-1][1]
    assert (other - x_0[0]).abs().max() > 1e-3


def test_guidance_by_labels_and_by_tokens_is_the_same():
    model, x_t = named_model(), torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        by_label = guided(model, 2.0, model.none)(x_t, 300, torch.tensor([2, 0]))
        none = model.encoder.embed([""])[0]
        by_name = guided(model.unet, 2.0, none)(x_t, 300, model.encoder.embed([NAMES[2], NAMES[0]]))
        torch.testing.assert_close(by_label, by_name, rtol=1e-4, atol=1e-5)
        assert (by_label - model(x_t, 300, torch.tensor([2, 0]))).abs().max() > 0.01
        torch.testing.assert_close(model(x_t, 300), model(x_t, 300, [4, 4]))


def test_training_reaches_the_words_of_the_labels_and_no_other():
    """Two of four names, each labelled by hand: their words move, and so does "no word", which pads and stands in."""
    model = named_model().train()
    before = model.encoder.table.weight.detach().clone()
    config = TrainConfig(steps=3, batch_size=8, label_dropout=0.5)
    *_, state = train(model, SHORT, torch.zeros(4, 1, 8, 8), config, labels=torch.tensor([0, 0, 1, 1]), none=model.none)
    moved = (model.encoder.table.weight - before).abs().amax(dim=1) > 0
    assert moved.nonzero().flatten().tolist() == [0, 2, 4, 7]  # no word, green, heart, red
    assert state.ema_model.encoder.words == model.encoder.words


@pytest.mark.parametrize("predicts", ["z", "v"])
def test_names_come_back_from_a_file_and_from_a_run(predicts, tmp_path):
    model = named_model()
    network = model if predicts == "z" else z_model(model, SHORT, predicts)
    weights.save(tmp_path / "names.safetensors", network, SHORT)
    images, options = torch.zeros(4, 1, 8, 8), {"labels": torch.arange(4), "none": model.none}
    fit(network, SHORT, images, TrainConfig(steps=2, batch_size=2), tmp_path / "run", progress=False, **options)
    for source in (tmp_path / "names.safetensors", tmp_path / "run"):
        again = open_model(source)[0]
        inner = again if predicts == "z" else again.model
        assert inner.encoder.names == NAMES
        assert torch.equal(inner.encoder.rows, model.encoder.rows)
        assert next(sample(again, SHORT, (1, 1, 8, 8), context=torch.tensor([2])))[1].shape == (1, 1, 8, 8)
    inner = open_model(tmp_path / "names.safetensors")[0]
    inner = inner if predicts == "z" else inner.model
    for name, tensor in named_model().state_dict().items():
        assert torch.equal(inner.state_dict()[name], tensor), name
    more = TrainConfig(steps=3, batch_size=2)
    assert fit(network, SHORT, images, more, tmp_path / "run", progress=False, **options).step == 3
    renamed = ConditionalUNet(named_model().unet, NameEncoder(("blue heart", *NAMES[1:]), 6))
    renamed = renamed if predicts == "z" else z_model(renamed, SHORT, predicts)
    with pytest.raises(
        ValueError, match=r"^name_encoder: expected \{'names': \['red heart'.*, as in step-000003, got .*blue heart"
    ):
        fit(renamed, SHORT, images, TrainConfig(steps=4, batch_size=2), tmp_path / "run", progress=False, **options)


def test_names_follow_the_device_and_the_dtype():
    model, x_t = named_model(), torch.zeros(2, 1, 8, 8)
    double = named_model().double()
    z_hat = double(x_t.double(), 5, torch.tensor([1, 4]))
    torch.testing.assert_close(z_hat.float(), model(x_t, 5, torch.tensor([1, 4])), rtol=1e-4, atol=1e-5)
    on_meta = model.to("meta")
    assert on_meta(x_t.to("meta"), 5, torch.tensor([1, 4], device="meta")).shape == x_t.shape
    assert on_meta.encoder.embed(["red hair"]).device.type == "meta"


@pytest.mark.parametrize(
    ("wrong", "error", "line"),
    [
        (
            lambda e: e.embed(["gren heart"]),
            ValueError,
            "names: expected words that the encoder knows, got 'gren'; near it are ['green']",
        ),
        (lambda e: e.embed(["zzz"]), ValueError, "names: expected words that the encoder knows, got 'zzz'"),
        (
            lambda e: e.embed(["red red red red"]),
            ValueError,
            "names: expected at most 3 words in a name, got 4 in 'red red red red'",
        ),
        (
            lambda e: e.embed("red heart"),
            TypeError,
            "names: expected a list of names, got 'red heart' (str); write [name] for a single one",
        ),
        (
            lambda e: e.embed([3]),
            TypeError,
            "names: expected a list of names, got [3] (list); write [name] for a single one",
        ),
        (lambda e: e.embed([]), ValueError, "names: expected at least one name, and words in each, got none"),
        (lambda e: NameEncoder([], 6), ValueError, "names: expected at least one name, and words in each, got none"),
        (
            lambda e: NameEncoder(["red", "?!"], 6),
            ValueError,
            "names: expected at least one name, and words in each, got '?!'",
        ),
        (lambda e: NameEncoder(["red"], 0), ValueError, "width: expected a whole number >= 1, got 0 (int)"),
        (
            lambda e: e(torch.tensor([5])),
            ValueError,
            'labels: expected every label in 0..3, or 4 for "no label", got values in 5..5',
        ),
        (
            lambda e: e(torch.tensor([1.0])),
            ValueError,
            "labels: expected an int64 tensor of shape (B,), got float32 tensor of shape (1,)",
        ),
    ],
)
def test_what_is_no_name_gets_one_line(wrong, error, line, plain):
    with pytest.raises(error) as caught:
        wrong(NameEncoder(NAMES, 6))
    assert str(caught.value) == line


def test_a_network_of_names_is_not_exported_to_the_page():
    with pytest.raises(ValueError, match=r"^model: .*, got a call of __getitem__ with these tensors$"):
        export_page("names", named_model(), SHORT)


def test_a_difference_of_a_thousand_names_is_told_in_short():
    names = [f"name {n}" for n in range(1000)]
    about = {"config": {"lr_decay": "no"}, "model": {"name_encoder": str(names)}}
    with pytest.raises(
        ValueError, match=r"^name_encoder: .*name 0.* \.\.\. .*name 999.* as in there, got .*'name 1'"
    ) as caught:
        check_same("there", about, {**about, "model": {"name_encoder": str(names[1:])}})
    assert len(str(caught.value)) < 700
