"""The product of matrices of the page's networks, against NumPy: in WebAssembly with SIMD, and where it is refused."""

import json

import numpy as np
import pytest
from javascript import run_module

# What a browser may have: everything, no fused products, no SIMD, no WebAssembly, or a page that forbids to compile.
BROWSERS = {
    "fused": ("", True),
    "SIMD": ("const right = WebAssembly.validate; let n = 0; WebAssembly.validate = (x) => n++ > 0 && right(x);", True),
    "no SIMD": ("WebAssembly.validate = () => false;", False),
    "no WebAssembly": ("globalThis.WebAssembly = undefined;", False),
    "forbidden": ("WebAssembly.Module = class { constructor() { throw new Error('forbidden'); } };", False),
}
# Rows, sum, columns: whole tiles, edges of every kind, and one number.
SIZES = [(8, 5, 16), (4, 9, 8), (1, 7, 49), (6, 3, 13), (5, 1, 1), (1, 1, 1), (33, 20, 50)]


def node(code, browser="", **given):
    setup = f"const engine = modules; const given = {json.dumps(given)}; {browser}"
    return run_module(["kernel.js", "engine.js"], setup, code)


@pytest.mark.parametrize("browser", BROWSERS)
def test_products_are_numpys(browser):
    rng = np.random.default_rng(0)
    cases = [[rng.standard_normal(size).astype("f4") for size in ((M, K), (K, P), (M, P))] for M, K, P in SIZES]
    code = """const memory = engine.open();
    const answers = given.cases.map(([a, b, c, M, K, P]) => {
      // Room for c is taken last, in a memory that grows, and c begins inside of it.
      const rows = memory.take(engine.roomForRows(M, K)), columns = memory.take(engine.roomForColumns(K, P));
      const plain = memory.take(K * P), whole = memory.take(3e5), results = [whole.part(5), memory.take(M * (P + 3))];
      engine.packRows(rows.data, a, M, K);
      engine.packColumns(columns.data, b, K, P);
      plain.data.set(b);
      results[0].data.set(c);
      for (let m = 0; m < M; m++) results[1].data.set(c.slice(m * P, m * P + P), m * (P + 3));
      memory.multiply(rows, plain, results[0], M, K, P);
      memory.multiply(rows, columns, results[1], M, K, P, 8, 8 * K, P + 3);
      const around = [whole.data.slice(0, 5), results[0].data.slice(M * P)];
      const kept = around.every((part) => part.every((v) => v === 0));
      return [results[0].data.slice(0, M * P), results[1].data.slice(), kept];
    });
    return { simd: memory.simd, answers };"""
    init, simd = BROWSERS[browser]
    given = [[*(x.ravel().tolist() for x in case), *size] for case, size in zip(cases, SIZES, strict=True)]
    found = node(code, init, cases=given)
    assert found["simd"] is simd
    for (a, b, c), (M, _, P), (first, second, kept) in zip(cases, SIZES, found["answers"], strict=True):
        expected = c + a.astype("f8") @ b.astype("f8")
        np.testing.assert_allclose(np.reshape(first, (M, P)), expected, atol=1e-5)
        spread = np.reshape(second, (M, P + 3))
        np.testing.assert_allclose(spread[:, :P], expected, atol=1e-5)
        assert not spread[:, P:].any(), "nothing is written between the rows"
        assert kept, "nothing is written before the first row or after the last one"


@pytest.mark.parametrize("browser", ["fused", "SIMD", "no SIMD"])
def test_the_activation_is_numpys(browser):
    x = np.concatenate([np.linspace(-200, 200, 4001), [0, -0.0, 1e-30, -1e-30, 3e38, -3e38]]).astype("f4")
    code = """const memory = engine.open(), room = memory.take(given.x.length), to = memory.take(given.x.length);
    room.data.set(given.x);
    memory.silu(room, to);
    return [...to.data];"""
    found, wide = np.array(node(code, BROWSERS[browser][0], x=x.tolist())), x.astype("f8")
    expected = wide / (1 + np.exp(-np.clip(wide, -700, 700)))
    close = np.abs(x) < 80  # beyond it is x or nearly 0
    # exp(-x) has the rounding of x itself, 87 / 2^24
    np.testing.assert_allclose(found[close], expected[close], rtol=5.2e-6, atol=1e-30)
    np.testing.assert_allclose(found[~close], expected[~close], rtol=1e-6, atol=1e-30 if browser == "no SIMD" else 2e4)


@pytest.mark.parametrize("browser", ["fused", "SIMD"])
def test_a_product_takes_its_rows_from_a_list(browser):
    rng = np.random.default_rng(0)
    M, K, P = 6, 5, 19
    a, b, places = rng.standard_normal((M, K)).astype("f4"), rng.standard_normal(200).astype("f4"), [7, 0, 103, 31, 7]
    code = """const memory = engine.open(), [rows, b, c] = [engine.roomForRows(6, 5), 200, 114].map(memory.take);
    engine.packRows(rows.data, given.a, 6, 5);
    b.data.set(given.b);
    memory.filter(rows, b, c, 6, 5, 19, memory.place(given.places));
    return [...c.data];"""
    found = node(code, BROWSERS[browser][0], a=a.ravel().tolist(), b=b.tolist(), places=places)
    expected = a.astype("f8") @ np.stack([b[at : at + P] for at in places]).astype("f8")
    np.testing.assert_allclose(np.reshape(found, (M, P)), expected, atol=1e-5)


def test_matrices_are_packed_from_any_strides():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((6, 11)).astype("f4")
    code = """const shapes = [[6, 11], [11, 6, 1, 11]];
    return ["Rows", "Columns"].flatMap((way) => shapes.map(([height, width, ...strides]) => {
      const to = new Float32Array(engine[`roomFor${way}`](height, width));
      engine[`pack${way}`](to, given.x, height, width, ...strides);
      return to;
    }));"""
    found = node(code, x=x.ravel().tolist())

    def in_fours(a):
        return np.pad(a, ((0, -len(a) % 4), (0, 0))).reshape(-1, 4, a.shape[1]).transpose(0, 2, 1).ravel()

    def in_eights(b):
        return np.pad(b, ((0, 0), (0, -b.shape[1] % 8))).reshape(len(b), -1, 8).transpose(1, 0, 2).ravel()

    for packed, expected in zip(found, (in_fours(x), in_fours(x.T), in_eights(x), in_eights(x.T)), strict=True):
        np.testing.assert_array_equal(np.float32(packed), expected)


def test_the_module_is_small_whole_and_the_same_again():
    code = """return [true, false].map((fused) => {
      const [first, second] = [0, 1].map(() => engine.assemble(engine.source(fused)));
      const made = new WebAssembly.Module(first);
      return [[...first], [...second], WebAssembly.Module.imports(made), WebAssembly.Module.exports(made)];
    });"""
    for first, second, imports, exports in node(code):
        assert first == second
        assert len(first) < 3000
        assert imports == []
        functions = ({"name": name, "kind": "function"} for name in ("multiply", "filter", "silu"))
        assert exports == [{"name": "memory", "kind": "memory"}, *functions]
