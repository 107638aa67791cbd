"""A checklist for your diffusion program: known answers for its parts, without any training.

    from checklist import check_all, check_guided_sample, check_label_use

    print(check_all(BETA=beta, ALPHA_BAR=alpha_bar, make_batch=make_batch, sample=sample))
    print(check_all(globals(), PREDICTS="v"))  # all parts that have these names
    check_label_use(Network(), sample)  # if the program has labels: silent, or an error
    check_guided_sample(Network(), sample)  # if it has guidance, too: likewise

It needs PyTorch only, and stops at the first `assert` that fails. Mend this one, and run again. It asks only about the
parts that it gets, and its result says what was NOT ASKED, and for which missing parts. A name that it does not know is
an error, except in `globals()`, from which it takes the parts and no options. Run it and your program on the CPU.

    BETA, ALPHA_BAR      tables from 0 to T, starting with 0 and 1 (see FIRST_TIME)
    scale_images(x)      -> x_0, from pixels of 0 to 255
    make_batch(x_0)      -> x_t, t, z
    embed(t)             -> a row for each time
    Network()            -> model, and model(x_t, t) -> its output
    train_step(model, average, optimiser, x_0, labels, step)
                         -> the loss; it may ignore what you do not have
    sample(model, shape) -> x_0, its last state
    sample(model, shape, labels), for `check_label_use`, which also passes labels to the network
    sample(model, shape, labels, w), for `check_guided_sample`; w = 0: no guidance
    drop_labels(labels)  -> labels, of which the share P is "no label"
    guide(z_with, z_without, w)           -> z_hat; w = 0: no guidance
    update_average(average, model, step)  changes the average

Options, which you pass by keyword, with what they are if you do not:

    SHAPE = 1, 8, 8      shape of an image
    PREDICTS = "z"       what the network predicts: "z", "v" or "x_0"
    CLIP = True          False if the sampler does not clip x_0_hat
    FIRST_TIME = 1       0 if your times are 0 to T - 1; then the tables may have T entries
    SAMPLE_TIMES = ()    fewer steps: the times that `sample` tells, from the first call on
    P = 0.1              share of the labels that are dropped
    LABELS = 10          number of labels, which are 0, 1, 2, ...
    STEPS = 1000         steps of the training, for the average

Chapter 15 of the book explains each question: what it asks, which right programs it refuses, and what it misses.
"""

import torch


def check_schedule(beta, alpha_bar):
    noise = 1 - (1 - beta.double()).cumprod(0)  # its share of x_t
    off = (1 - alpha_bar[1:]) / noise[1:] - 1
    assert alpha_bar[-1] < 0.01, "x_T is no pure noise"
    assert beta.max() <= 0.999, "a beta near 1, so x_0_hat explodes"
    assert off.abs().max() < 0.001, "the table is wrong, or rounded"
    padded = "pad your tables with 0 and 1, or pass FIRST_TIME=0"
    assert alpha_bar[0] == 1, padded


def check_images(scale_images, shape):
    count = 100_000 // torch.Size(shape).numel() + 1
    pixels = torch.randint(0, 256, (count, *shape)).float()
    x_0 = scale_images(pixels)
    fills = x_0.min() == -1 and x_0.max() == 1
    assert fills, "range of the images"


def check_batch(make_batch, alpha_bar, shape, first=1):
    T, off, times = len(alpha_bar) - 1, [], []
    count = 10_000 + 20 * T  # enough to draw every time
    # large images come in several batches, because of the memory
    size = max(2, min(count, 2_000_000 // torch.Size(shape).numel()))
    while len(times) < count:
        x_0 = 2 * torch.rand(size, *shape) - 1
        x_t, t, z = make_batch(x_0)
        now = alpha_bar[t + 1 - first].reshape(-1, 1, 1, 1)
        slip = x_t - now.sqrt() * x_0 - (1 - now).sqrt() * z
        off.append(slip.abs().max())
        times.extend(t.tolist())
    normal = abs(z.mean()) < 0.02 and abs(z.var() - 1) < 0.02
    normal = normal and abs(z.pow(4).mean() - 3) < 0.06
    axes = [k for k in range(4) if z.shape[k] > 1]
    # a product of two independent noises has mean 0 and variance 1
    pairs = [z.unfold(k, 2, 1).prod(-1) for k in axes]  # neighbours
    half = len(t) // 2
    pairs.append(z[:half] * z[-half:])
    apart = all(abs(y.mean()) < 6 / y.numel() ** 0.5 for y in pairs)
    again = make_batch(x_0)[2]
    drawn = sorted(set(times)) == list(range(first, first + T))
    drawn = drawn and not (half > 9 and t[:half].equal(t[-half:]))
    assert drawn, "times drawn"
    assert normal, "mean, variance or kurtosis of the noise"
    assert apart, "pixels or images share noise"
    assert not z.equal(again), "two batches have the same noise"
    assert max(off) < 1e-5, "weights of image and noise in x_t"


def check_labels(drop_labels, P, count):
    labels = torch.arange(20_000) % count  # 0 to count - 1
    told, again = drop_labels(labels), drop_labels(labels)
    dropped = told[told != labels]
    share = len(dropped) / len(labels)
    said = f"{share:.0%} of the labels are dropped, not {P:.0%}"
    assert abs(share - P) < 0.02, said
    both = ((told != labels) & (again != labels)).float().mean()
    # chance drops the share P * P twice
    same = "two calls drop the same labels"
    assert both <= (P + P * P) / 2, same
    for k in dropped.unique().tolist():
        assert k not in range(count), f"dropped labels become label {k}"


def check_network(model, alpha_bar, shape, embed=None, first=1):
    for p in model.parameters():
        if p.abs().max() < 0.001:  # such a layer hides what it gets
            torch.nn.init.normal_(p, std=0.05)
    T = len(alpha_bar) - 1
    x_t = torch.randn(4, *shape)
    t = torch.arange(1, 5) * T // 4 - 1 + first
    z_hat = model.eval()(x_t, t)
    z_hat.sum().backward()
    # in units of the output, since rounding grows with the network
    top = z_hat.detach().abs().max()
    seen = (model(x_t.roll(1, 0), t) - z_hat).abs().max()
    moved = (model(x_t, t.roll(1)) - z_hat).abs().max()
    again = (model(x_t, t) - z_hat).abs().max()
    alone = (model(x_t[-1:], t[-1:]) - z_hat[-1:]).abs().max()
    idle = [p for p in model.parameters() if p.grad is None]
    idle = [p for p in idle if p.requires_grad]  # others are frozen
    assert z_hat.shape == x_t.shape, "the output has another shape"
    assert seen > 0.001 * top, "the network ignores x_t"
    assert z_hat.min() < 0 < z_hat.max(), "the output has one sign"
    assert moved > 0.001 * top, "the network ignores the time"
    assert again < 1e-4 * top, "the same call gives two answers"
    assert alone < 1e-4 * top, "the images of a batch are mixed"
    if embed:
        times = torch.arange(first, first + T)
        apart = torch.pdist(embed(times))  # all pairs of times
        assert apart.min() > 0.1, "two times look alike"
    near = []  # how far the answers at neighbouring times are apart
    for t in torch.linspace(first, first + T - 2, 32).long().split(4):
        with torch.no_grad():
            gap = model(x_t, t + 1) - model(x_t, t)
        near.append(gap.abs().flatten(1).amax(1).min())
    assert min(near) > 5e-4 * top, "neighbouring times get one answer"
    assert not idle, "a layer is made but never called"


def choose_target(predicts, x_0, z, now):
    """What a right network answers."""
    v = now.sqrt() * z - (1 - now).sqrt() * x_0
    return {"z": z, "v": v, "x_0": x_0}[predicts]


def check_training(
    train_step,
    make_batch,
    alpha_bar,
    shape,
    predicts,
    drop_labels=None,
    update_average=None,
    first=1,
):
    def answer(x, t, *label, **more):
        asked[:] = x, t, [*label, *more.values(), None][0]
        return x * fake.weight  # 0 has one loss for both z and -z

    asked, (fake, average) = [], [torch.nn.Linear(1, 1) for _ in "ab"]
    fake.forward, sgd = answer, torch.optim.SGD(fake.parameters(), 0.1)
    x_0, labels = 2 * torch.rand(64, *shape) - 1, torch.arange(64) % 2
    torch.manual_seed(0)
    x_t, t, z = make_batch(x_0)
    told = drop_labels(labels) if drop_labels else None
    now = alpha_bar[t + 1 - first].reshape(-1, 1, 1, 1)
    start = average.weight.item()
    target = choose_target(predicts, x_0, z, now)
    for step in (1, 2):
        right = (x_t * fake.weight - target).square().mean()
        slope = torch.autograd.grad(right, fake.weight)[0]
        old = fake.weight.item()
        if fake.weight.grad is not None:  # left by the step before
            # 100 times the new gradient and against it: where the old
            # one is not set to zero, this step goes the wrong way
            fake.weight.grad = (fake.weight.grad != 0) * slope * -100
        torch.manual_seed(0)  # the same x_t, t and z again
        loss = train_step(fake, average, sgd, x_0, labels, step)
        assert loss is not None, "train_step returns no loss"
        off = (asked[0] - x_t).abs().max() + (asked[1] - t).abs().max()
        assert off < 1e-5, "the training asks about another x_t or t"
        slip = abs(loss - right)
        name = f"{predicts}_hat - {predicts}"
        assert slip < 1e-5, f"the loss is not the mean square of {name}"
        down = (old - fake.weight.item()) * slope
        assert down != 0, "a step changes no weight"
        assert down > 0, "a step raises the loss"
    same = told is None or asked[2] is not None and asked[2].equal(told)
    assert same, "the training passes on other labels"
    moves = not update_average or average.weight.item() != start
    assert moves, "the training does not move the average"


def check_average(update_average, steps, model=None):
    def build(value):
        made = torch.nn.Conv2d(1, 1, 1)  # 4 axes, and a bias of 1
        made.register_buffer("number", torch.zeros(1))
        for y in made.state_dict().values():
            y.fill_(value)
        return made

    average, once, model_now = build(1.0), build(1.0), build(0.0)
    update_average(average, model_now, 1)
    copied = average.number == 0
    for step in range(2, steps + 1):
        update_average(average, model_now, step)
    update_average(once, model_now, max(steps, 1000))
    # of the 1 that each tensor began with
    left = max(p.item() for p in average.parameters())
    least = min(p.item() for p in once.parameters())
    assert left < 0.05, f"the average keeps {left:.0%} of its start"
    assert least > 0.9, "the average is over less than ten steps"
    has = model is not None and any(True for _ in model.buffers())
    assert copied or not has, "the average does not copy the buffers"


def check_guidance(guide):
    one = torch.ones(1)
    cases = (2 * one, one, 0), (2 * one, one, 1), (2 * one, 5 * one, 2)
    found = [guide(*case).item() for case in cases]
    right = found == [2, 3, -4]
    assert right, "guidance is not z_with + w * (z_with - z_without)"


def run_fake(sampler, image, table, predicts="z"):
    """The states, noises and times of a run with a fake network."""
    states, told = [], []

    class Fake(torch.nn.Module):
        def forward(self, x, t, *label, **more):
            # the first call is at T, and the time falls to 1
            now = table[max(len(table) - 1 - len(states), 1)]
            states.append(x.clone())  # it may change in place
            told.extend(torch.as_tensor(t).unique().tolist())
            z = (x - now.sqrt() * image.to(x)) / (1 - now).sqrt()
            return choose_target(predicts, image.to(x), z, now)

    fake = Fake()
    fake.weight = torch.nn.Parameter(torch.zeros(1))  # has a device
    torch.manual_seed(0)
    states.append(sampler(fake, image.shape))
    torch.manual_seed(0)  # the same noise again; the first is x_T
    drawn = [torch.randn_like(x) for x in states]
    return states, drawn[1:], told


def fit_step(x_t, x_0, noise, x_s):
    """a, b and sigma of one step, by least squares."""
    parts = [y.double().flatten() for y in (x_t, x_0, noise, x_s)]
    columns = torch.stack(parts, dim=1).nan_to_num()  # if 0 / 0
    found = torch.linalg.lstsq(columns[:, :3], columns[:, 3])
    return found.solution.tolist()


def read_coefficients(sampler, table, shape=(1, 8, 8), predicts="z"):
    """a, b and sigma of each step, and the times that were told."""
    torch.manual_seed(1)
    image = 0.4 * torch.rand(4, *shape).double() - 0.2
    states, drawn, told = run_fake(sampler, image, table, predicts)
    steps = zip(states, drawn, states[1:], strict=False)
    found = [fit_step(x_t, image, noise, x_s) for x_t, noise, x_s in steps]
    return found, told


def compute_coefficients(alpha_bar):
    """The right a, b and sigma from T down, for three samplers."""
    table = alpha_bar.double().flip(0)
    now, before = table[:-1], table[1:]
    beta = 1 - now / before
    tilde = beta * (1 - before) / (1 - now)
    a = (1 - beta).sqrt() * (1 - before) / (1 - now)
    b = before.sqrt() * beta / (1 - now)
    root = ((1 - before) / (1 - now)).sqrt()
    ddim = root, before.sqrt() - root * now.sqrt(), 0 * b
    large = beta.sqrt() * (before < 1)  # no noise at t = 1
    kinds = (a, b, tilde.sqrt()), (a, b, large), ddim
    return torch.stack([torch.stack(kind, dim=1) for kind in kinds])


def check_sampler(
    sample,
    alpha_bar,
    shape,
    predicts,
    clip,
    first=1,
    times=(),
):
    last = first + len(alpha_bar) - 2
    times = [int(t) for t in times] or list(range(last, first - 1, -1))
    # only the times of the steps, and time 0, where the sampler ends
    alpha_bar = alpha_bar[[0] + [t + 1 - first for t in times[::-1]]]
    torch.manual_seed(0)
    start, steps = torch.randn(4, *shape), len(times)
    image = 3 * start.sign()
    states, _, told = run_fake(sample, image, alpha_bar, predicts)
    calls, moved = len(states) - 1, (states[0] - start).abs().max()
    assert calls == steps, f"{calls} calls of the network, not {steps}"
    assert told == times, f"times {told[0]}..{told[-1]}"
    assert moved < 1e-5, "x_T is not the first noise that is drawn"
    ends = zip(told, states[1:], strict=True)
    wild = [t for t, x in ends if not x.isfinite().all()]
    said = "the sampler returns numbers that are not finite, t = "
    assert not wild, f"{said}{wild[0]}"
    found, _ = read_coefficients(sample, alpha_bar, shape, predicts)
    off = (compute_coefficients(alpha_bar) - torch.tensor(found)).abs()
    now, before = alpha_bar[1:].flip(0), alpha_bar[:-1].flip(0)
    long = (before / now).sqrt().clamp(max=10_000)
    # rounding grows at small times, and in long steps from T
    bound = torch.maximum(4e-6 / (1 - now), 1e-7 * long)
    # the noise depends on nothing else, so it is read exactly
    exact = bound.clamp(max=0.001)
    off = off / torch.stack((bound, bound, exact), dim=1)
    off = max(off, key=lambda kind: (kind < 1).sum())  # fits best
    for t, found in zip(told, off, strict=True):
        name = ("x_t", "x_0_hat", "the noise")[found.argmax()]
        assert found.max() < 1, f"coefficient of {name}, t = {t}"
    x_1, x_0 = (x * start.sign() for x in states[-2:])  # both near 1
    # before a long last step x_1 still has much noise
    most = max(1.1, now[-1].sqrt() + (1 - now[-1]).sqrt())
    clipped = x_1.mean() < most and (x_0 - 1).abs().max() < 0.001
    clipped = clipped or not clip  # then it is not asked
    assert clipped, "the last states are not the clipped estimate"


def check_mode(sample, model, shape):
    x, t, modes = torch.randn(4, *shape), torch.arange(1, 5), []
    out = model.eval()(x, t)
    off = (out - model.train()(x, t)).abs().max() / out.abs().max()

    def note_mode(x, *t, **more):
        modes.append(model.training)
        return x

    model.forward = note_mode
    sample(model, x.shape)
    on = any(modes) and off > 1e-4
    assert not on, "dropout or batch norm is on, call model.eval()"


QUESTIONS = [  # a check, what it needs, and what it may get besides
    (check_schedule, "BETA ALPHA_BAR", ""),
    (check_images, "scale_images SHAPE", ""),
    (check_batch, "make_batch ALPHA_BAR SHAPE FIRST_TIME", ""),
    (check_labels, "drop_labels P LABELS", ""),
    (check_network, "Network ALPHA_BAR SHAPE", "embed FIRST_TIME"),
    (
        check_training,
        "train_step make_batch ALPHA_BAR SHAPE PREDICTS",
        "drop_labels update_average FIRST_TIME",
    ),
    (check_average, "update_average STEPS", "Network"),
    (check_guidance, "guide", ""),
    (
        check_sampler,
        "sample ALPHA_BAR SHAPE PREDICTS CLIP FIRST_TIME SAMPLE_TIMES",
        "",
    ),
    (check_mode, "sample Network SHAPE", ""),
]


OPTIONS = {  # what a part is if you do not pass it
    "SHAPE": (1, 8, 8),
    "PREDICTS": "z",
    "CLIP": True,
    "FIRST_TIME": 1,
    "SAMPLE_TIMES": (),
    "P": 0.1,
    "LABELS": 10,
    "STEPS": 1000,
}


def check_options(names):
    """Does each option have a value that a question can take?"""
    several = tuple, list, torch.Size, range, torch.Tensor
    shape, times = names["SHAPE"], names["SAMPLE_TIMES"]
    predicts = names["PREDICTS"]
    three = isinstance(shape, several) and len(shape) == 3
    whole = [names[name] for name in ("LABELS", "STEPS")]
    whole = [type(value) is int and value > 0 for value in whole]
    forms = {
        "SHAPE": (three, "3 numbers, such as (3, 32, 32)"),
        "PREDICTS": (predicts in ("z", "v", "x_0"), "z, v or x_0"),
        "CLIP": (isinstance(names["CLIP"], bool), "True or False"),
        "FIRST_TIME": (names["FIRST_TIME"] in (0, 1), "0 or 1"),
        "SAMPLE_TIMES": (isinstance(times, several), "a list of times"),
        "P": (isinstance(names["P"], float | int), "a share"),
        "LABELS": (whole[0], "a whole number"),
        "STEPS": (whole[1], "a whole number"),
    }
    for name, (right, form) in forms.items():
        said = f"{name}: expected {form}, got {names[name]!r}"
        if not right:
            raise TypeError(said)


def check_all(program=(), **names):
    known = " ".join(f"{needed} {more}" for _, needed, more in QUESTIONS)
    known = list(dict.fromkeys(known.split()))
    unknown = ", ".join(name for name in names if name not in known)
    if unknown:
        raise TypeError(f"unknown: {unknown}; known: {', '.join(known)}")
    # options only by keyword: a program's CLIP may mean another thing
    parts = [name for name in known if name not in OPTIONS]
    taken = {k: v for k, v in dict(program).items() if k in parts}
    torch.manual_seed(0)
    names, asked, skipped = OPTIONS | taken | names, [], []
    check_options(names)
    if names["FIRST_TIME"] == 0:  # our tables also have the time before
        for name, start in (("BETA", 0), ("ALPHA_BAR", 1)):
            table = names.get(name)
            if table is not None and table[0] != start:
                begin = torch.full_like(table[:1], start)
                names[name] = torch.cat([begin, table])
    if names.get("Network"):
        names["Network"] = names["Network"]()  # one for all questions
    for check, needed, more in QUESTIONS:
        given = {k: names.get(k) for k in f"{needed} {more}".split()}
        name = check.__name__.removeprefix("check_")
        if any(given[k] is None for k in needed.split()):
            skipped.append(name)
        else:
            check(*given.values())
            asked.append(name)
    missing = ", ".join(k for k in parts if names.get(k) is None)
    skipped += ["embed"] * (names.get("embed") is None)
    said = f" in: {', '.join(asked)}; NOT ASKED: {', '.join(skipped)}"
    said = f"{said} (not given: {missing})"
    return "no mistake found" + said * bool(missing)


def check_label_use(model, sample, shape=(1, 8, 8)):
    """Are the labels used? Ask a new network, after `check_all`."""
    for p in model.parameters():
        if p.abs().max() < 0.001:  # as in `check_network`
            torch.nn.init.normal_(p, std=0.05)
    x, t, passed = torch.randn(4, *shape), torch.arange(1, 5), {}
    labels = torch.arange(4) // 2  # 0, 0, 1, 1
    other = model.eval()(x, t, labels) - model(x, t, 1 - labels)

    def note_label(x, t, *label, **more):
        time = torch.as_tensor(t).max().item()
        told = [*filter(torch.is_tensor, (*label, *more.values()))]
        if len(x) == 8:  # one call for both, with and without labels
            told = [half for both in told for half in both.chunk(2)]
        passed[time] = any(map(labels.equal, told)) or passed.get(time)
        return x

    used = other.abs().max() > 0.001 * model(x, t, labels).abs().max()
    model.forward = note_label
    sample(model, x.shape, labels)
    del model.forward  # so the class's own is called again
    assert used, "the network ignores the label"
    assert all(passed.values()), "a step without the labels"


def check_guided_sample(model, sample, shape=(1, 8, 8), count=10):
    """Is the guidance inside `sample` right? Ask after `check_all`."""
    labels, instead = torch.arange(4) % count, set()

    def run(w, apart):
        def answer(x, t, *label, **more):
            told = [*filter(torch.is_tensor, (*label, *more.values()))]
            told = told[0] if told else torch.full((len(x),), -1)
            # a batch may hold the images twice, with and without label
            same = told == labels.repeat(len(x) // len(labels))
            instead.update(told[~same].tolist())  # of a label
            # both answers are z, moved so that right guidance gives z
            moved = apart * (w + (~same).float())
            odd = torch.as_tensor(t) % 2  # z depends on the time, too
            return x + (odd + moved).reshape(-1, 1, 1, 1)

        model.forward = answer
        torch.manual_seed(0)
        x_0 = sample(model, (len(labels), *shape), labels, w)
        del model.forward  # so the class's own is called again
        return x_0

    off = (run(2.0, 1.0) - run(0.0, 0.0)).abs().max()
    for k in instead:
        said = f"the call without a label gets label {k}"
        assert k not in range(count), said
    rule = "z_with + w * (z_with - z_without)"
    assert off < 0.001, f"the guidance in sample is not {rule}"
