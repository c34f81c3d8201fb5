"use strict";
// Learned circuits at work: a board that a circuit of Life steps, and an image that one of classes looks at. Other scripts and
// tests reach them as Gatebench.alive.
Gatebench.alive = (() => {
  const { data, element } = Gatebench;
  const at = (id) => document.getElementById(id);
  const PAGE = 65536;
  const BLOCK_BYTES = 16; // of a signal: the words of codegen.emit_wasm

  async function bytes(text) {
    const deflated = new Blob([Uint8Array.from(atob(text), (character) => character.charCodeAt(0))]);
    return new Response(deflated.stream().pipeThrough(new DecompressionStream("deflate"))).arrayBuffer();
  }

  async function instance(module) {
    return (await WebAssembly.instantiate(await bytes(module))).instance.exports;
  }

  // Addresses of so many bytes each in the memory of an instance, which grows to hold them, and all of the memory.
  function room(exports, ...sizes) {
    const addresses = [];
    let end = exports.heap_base.value;
    for (const size of sizes) {
      addresses.push(end);
      end += Math.ceil(size / 64) * 64;
    }
    const missing = end - exports.memory.buffer.byteLength;
    if (missing > 0) exports.memory.grow(Math.ceil(missing / PAGE));
    return { addresses, memory: new Uint8Array(exports.memory.buffer) };
  }

  function complain(error) {
    at("alive-error").hidden = false;
    at("alive-error").textContent = `This browser does not run the circuit: ${error.message}`;
  }

  // A colour of the page as red, green, blue and opacity.
  function colour(name) {
    const context = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(name);
    context.fillRect(0, 0, 1, 1);
    return context.getImageData(0, 0, 1, 1).data;
  }

  // Places between the last and this one are drawn, too: a pointer is told of a few times a frame.
  function drawsOn(canvas, begin, draw) {
    let last = null;
    const place = (event) => [(event.offsetX / canvas.clientWidth) * canvas.width, (event.offsetY / canvas.clientHeight) * canvas.height];
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      last = place(event);
      begin(...last);
      draw([last]);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!last) return;
      const [x, y] = place(event);
      const n = Math.max(1, Math.ceil(2 * Math.hypot(x - last[0], y - last[1])));
      const [fromX, fromY] = last;
      draw(Array.from({ length: n }, (_, i) => [fromX + ((x - fromX) * (i + 1)) / n, fromY + ((y - fromY) * (i + 1)) / n]));
      last = [x, y];
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { last = null; });
  }

  function quantity(value) {
    const [scale, unit] = [[1e9, " G"], [1e6, " M"], [1e3, " k"], [1, ""]].find(([least]) => value >= least) ?? [1, ""];
    return `${(value / scale).toLocaleString("en", { maximumSignificantDigits: 3 })}${unit}`;
  }

  function life() {
    const FRAME_MS = 12; // of a frame's 16.7 for the circuit where it goes as fast as it goes
    const CALL_MS = 3; // of a call then
    const RATE_MS = 500; // between readings of the speed
    const PATTERNS = {
      gun: { at: [4, 4], cells: "24bo$22bobo$12b2o6b2o12b2o$11bo3bo4b2o12b2o$2o8bo5bo3b2o$2o8bo3bob2o4bobo$10bo5bo7bo$11bo3bo$12b2o!" },
      pentomino: { at: null, cells: "b2o$2o$bo!" },
    };
    const DENSITY = 0.35;
    const canvas = at("life-board");
    const context = canvas.getContext("2d");
    let circuit = null; // exports of the chosen job's module
    let rule = null;
    let [width, height] = [canvas.width, canvas.height];
    let pitch, rows, rowsAt, workAt; // the board as codegen.pack.pack_board has it
    let wrong = null; // cells of this generation that the rule has otherwise
    let [generation, nWrong, nWrongSoFar, seed, batch] = [0, 0, 0, 0, 1];
    let [playing, visible, due, last, waiting] = [false, true, 0, 0, 0];
    let rate = { since: 0, generations: 0 };

    const get = (x, y) => (rows[y * pitch + (x >> 3)] >> (x & 7)) & 1;
    const put = (x, y, value) => {
      const bit = 1 << (x & 7);
      if (value) rows[y * pitch + (x >> 3)] |= bit;
      else rows[y * pitch + (x >> 3)] &= ~bit;
    };

    function cells() {
      const found = new Uint8Array(width * height);
      for (let y = 0, i = 0; y < height; y++) for (let x = 0; x < width; x++, i++) found[i] = get(x, y);
      return found;
    }

    // Boards are laid out anew in the memory of the circuit.
    function layOut(before) {
      pitch = Math.ceil(width / 64) * 8;
      const { addresses, memory } = room(circuit, height * pitch, 8 * circuit.work_words(height, width));
      [rowsAt, workAt] = addresses;
      rows = memory.subarray(rowsAt, rowsAt + height * pitch);
      rows.fill(0);
      before?.forEach((value, i) => { if (value) put(i % width, Math.floor(i / width), 1); });
      forget();
    }

    function forget() {
      [nWrong, nWrongSoFar, wrong] = [0, 0, null];
      rate = { since: 0, generations: 0 };
    }

    function begin() {
      rows.fill(0);
      generation = 0;
      forget();
    }

    function preset(name) {
      begin();
      if (name === "soup") soup();
      else pattern(PATTERNS[name]);
      show();
    }

    // As run-length encoding has it: b dead, o alive, $ the next row.
    function pattern({ at: corner, cells: text }) {
      let [x, y] = [0, 0];
      const [left, top] = corner ?? [(width >> 1) - 1, (height >> 1) - 1];
      for (const [, n, what] of text.matchAll(/(\d*)([bo$])/g)) {
        for (let i = 0; i < (n || 1); i++) {
          if (what === "$") [x, y] = [0, y + 1];
          else put((left + x++) % width, (top + y) % height, what === "o");
        }
      }
    }

    // Mulberry32: the same cells for the same seed, the next seed each time.
    function soup() {
      let state = ++seed;
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          state = (state + 0x6d2b79f5) | 0;
          let mixed = Math.imul(state ^ (state >>> 15), state | 1);
          mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
          put(x, y, ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32 < DENSITY);
        }
      }
    }

    function byRule(before) {
      const after = new Uint8Array(before.length);
      for (let y = 0, i = 0; y < height; y++) {
        const [above, here, below] = [(y + height - 1) % height, y, (y + 1) % height].map((row) => row * width);
        for (let x = 0; x < width; x++, i++) {
          const [west, east] = [x ? x - 1 : width - 1, x + 1 < width ? x + 1 : 0];
          const n = before[above + west] + before[above + x] + before[above + east] + before[here + west] + before[here + east]
            + before[below + west] + before[below + x] + before[below + east];
          after[i] = rule[before[i]][n];
        }
      }
      return after;
    }

    function step(n) {
      const call = (times) => circuit.steps(rowsAt, height, width, 1, times, workAt);
      if (!at("life-difference").checked) call(n);
      for (let i = 0; at("life-difference").checked && i < n; i++) {
        const expected = byRule(cells());
        call(1);
        wrong = cells().map((value, cell) => value ^ expected[cell]);
        nWrong = wrong.reduce((sum, value) => sum + value, 0);
        nWrongSoFar += nWrong;
      }
      generation += n;
      rate.generations += n;
    }

    function show() {
      const [alive, dead, bad] = ["--accent", "--surface", "--bad"].map((name) => new Uint32Array(colour(name).buffer)[0]);
      const image = context.createImageData(width, height);
      const pixels = new Uint32Array(image.data.buffer);
      let nAlive = 0;
      for (let y = 0, i = 0; y < height; y++) {
        for (let x = 0; x < width; x++, i++) {
          const lives = get(x, y);
          nAlive += lives;
          pixels[i] = wrong?.[i] ? bad : lives ? alive : dead;
        }
      }
      context.putImageData(image, 0, 0);
      at("life-generation").textContent = generation.toLocaleString("en");
      at("life-alive").textContent = nAlive.toLocaleString("en");
      at("life-wrong").textContent = `${nWrong.toLocaleString("en")} / ${nWrongSoFar.toLocaleString("en")}`;
    }

    function showRate(now) {
      const elapsed = now - rate.since;
      if (rate.since && elapsed < RATE_MS) return;
      if (rate.since) {
        const perSecond = (1000 * rate.generations) / elapsed;
        api.cellsPerSecond = perSecond * width * height;
        at("life-generations").textContent = quantity(perSecond);
        at("life-cells").textContent = quantity(api.cellsPerSecond);
      }
      rate = { since: now, generations: 0 };
    }

    function frame(now) {
      if (!playing || !visible) return;
      const speed = Number(at("life-speed").value);
      if (speed) {
        due = Math.min(due + ((now - last) * speed) / 1000, speed / 4);
        step(Math.floor(due));
        due -= Math.floor(due);
      } else {
        const end = performance.now() + FRAME_MS;
        for (let began = performance.now(); began < end; ) {
          step(batch);
          const after = performance.now();
          batch = Math.max(1, Math.round(batch * Math.min(2, Math.max(0.5, CALL_MS / (after - began)))));
          began = after;
        }
      }
      last = now;
      show();
      showRate(now);
      waiting = requestAnimationFrame(frame);
    }

    function wake() {
      last = performance.now();
      rate = { since: 0, generations: 0 };
      cancelAnimationFrame(waiting);
      if (playing && visible) waiting = requestAnimationFrame(frame);
    }

    function play(wanted) {
      if (playing === wanted) return;
      playing = wanted;
      at("life-play").textContent = playing ? "Pause" : "Play";
      wake();
    }

    async function choose() {
      const one = data.life[at("life-job").value];
      const chosen = await instance(one.module);
      if (one !== data.life[at("life-job").value]) return; // another was chosen meanwhile
      const before = circuit && cells();
      circuit = chosen;
      const [born, survive] = one.rule.split("/").map((part) => Array.from({ length: 9 }, (_, n) => Number(part.includes(n))));
      rule = [born, survive];
      at("life-rule").textContent = one.rule;
      at("life-gates").textContent = one.gates.toLocaleString("en");
      batch = 1;
      layOut(before);
      show();
    }

    function resize() {
      [width, height] = at("life-size").value.split("x").map(Number);
      [canvas.width, canvas.height] = [width, height];
      batch = 1;
      layOut(null);
      preset("soup");
    }

    let drawn = 1;
    drawsOn(canvas, (x, y) => { drawn = 1 - get(Math.floor(x), Math.floor(y)); }, (places) => {
      for (const [x, y] of places.map((place) => place.map(Math.floor))) {
        if (x >= 0 && x < width && y >= 0 && y < height) put(x, y, drawn);
      }
      wrong = null;
      show();
    });
    at("life-play").addEventListener("click", () => play(!playing));
    at("life-step").addEventListener("click", () => {
      play(false);
      step(1);
      show();
    });
    at("life-clear").addEventListener("click", () => {
      play(false);
      begin();
      show();
    });
    for (const button of document.querySelectorAll("[data-preset]")) button.addEventListener("click", () => preset(button.dataset.preset));
    at("life-difference").addEventListener("change", (event) => {
      at("life-wrong-figure").hidden = !event.target.checked;
      forget();
      show();
    });
    at("life-size").addEventListener("change", resize);
    at("life-job").addEventListener("change", () => choose().catch(complain));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
    new IntersectionObserver(([entry]) => {
      if (visible === entry.isIntersecting) return;
      visible = entry.isIntersecting;
      wake();
    }).observe(canvas);

    const api = {
      cellsPerSecond: null,
      board: () => Array.from({ length: height }, (_, y) => Array.from({ length: width }, (_, x) => get(x, y)).join("")),
      step(n) {
        step(n);
        show();
      },
      wrong: () => nWrongSoFar,
    };
    api.ready = choose().then(() => {
      preset("gun");
      play(!matchMedia("(prefers-reduced-motion: reduce)").matches);
    });
    api.ready.catch(complain);
    return api;
  }

  // One circuit of classes: (pixels from 0 to the brightest) => what it says of them.
  async function classifier(one) {
    const exports = await instance(one.module);
    const feature = new Int32Array(await bytes(one.feature));
    const threshold = new Float32Array(await bytes(one.threshold));
    const n = one.groups.reduce((sum, size) => sum + size, 0);
    const { addresses: [source, to], memory } = room(exports, feature.length * BLOCK_BYTES, n * BLOCK_BYTES);
    return (pixels) => {
      feature.forEach((from, i) => {
        memory[source + i * BLOCK_BYTES] = Number(Math.fround(pixels[from] / one.divisor) > threshold[i]);
      });
      exports.eval(source, to, 1);
      let output = 0;
      const counts = one.groups.map((size) => {
        let count = 0;
        for (const end = output + size; output < end; output++) count += memory[to + output * BLOCK_BYTES] & 1;
        return count;
      });
      return { class: counts.indexOf(Math.max(...counts)), counts, scores: counts.map((count) => Math.fround(count / one.temperature)) };
    };
  }

  const classifiers = new Map();
  function classifierOf(one) {
    if (!classifiers.has(one)) classifiers.set(one, classifier(one));
    return classifiers.get(one);
  }

  function image() {
    const canvas = at("image-pixels");
    const context = canvas.getContext("2d");
    let one = null;
    let pixels = null;
    let classify = null;
    let bars = [];

    function show() {
      const ink = colour("--text");
      const picture = context.createImageData(one.side, one.side);
      pixels.forEach((value, i) => picture.data.set([ink[0], ink[1], ink[2], (255 * value) / one.brightest], 4 * i));
      context.putImageData(picture, 0, 0);
      const blank = pixels.every((value) => value === 0);
      const { class: best, scores } = classify(pixels);
      at("image-class").textContent = blank ? "–" : one.classes[best];
      const most = Math.max(...scores) || 1;
      bars.forEach(({ row, bar, figure }, i) => {
        row.classList.toggle("best", !blank && i === best);
        bar.style.width = blank ? "0" : `${(100 * scores[i]) / most}%`;
        figure.textContent = blank ? "" : scores[i].toLocaleString("en", { maximumFractionDigits: 1 });
      });
    }

    function clear() {
      pixels = new Uint8Array(one.side * one.side);
      show();
    }

    async function choose() {
      const wanted = data.images[at("image-job").value];
      const chosen = await classifierOf(wanted);
      if (wanted !== data.images[at("image-job").value]) return; // another was chosen meanwhile
      [one, classify] = [wanted, chosen];
      [canvas.width, canvas.height] = [one.side, one.side];
      at("image-gates").textContent = `by ${one.gates.toLocaleString("en")} gates`;
      bars = one.classes.map((name) => {
        const [bar, figure] = [element("i"), element("dd")];
        return { bar, figure, row: element("div", [element("dt", name), element("dd", bar, { class: "bar", "aria-hidden": "true" }), figure]) };
      });
      at("image-scores").classList.toggle("named", one.classes.some((name) => name.length > 1));
      at("image-scores").replaceChildren(...bars.map(({ row }) => row));
      clear();
    }

    // A round pen, soft at its edge, about as wide as in the training images.
    function draw(places) {
      const radius = Math.max(0.6, one.side / 25);
      for (const [x, y] of places) {
        pixels.forEach((value, i) => {
          const distance = Math.hypot((i % one.side) + 0.5 - x, Math.floor(i / one.side) + 0.5 - y);
          pixels[i] = Math.max(value, Math.round(one.brightest * Math.min(1, Math.max(0, radius + 0.5 - distance))));
        });
      }
      show();
    }

    drawsOn(canvas, () => {}, draw);
    at("image-clear").addEventListener("click", clear);
    at("image-job").addEventListener("change", () => choose().catch(complain));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
    const ready = choose();
    ready.catch(complain);
    return { ready };
  }

  return {
    life: data.life.length ? life() : null,
    image: data.images.length ? image() : null,
    classify: async (task, pixels) => (await classifierOf(data.images.find((one) => one.task === task)))(pixels),
  };
})();
