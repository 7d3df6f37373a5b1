// The page: what is chosen, and what is shown of it.

const el = id => document.getElementById(id);

async function unpacked(id) {
  const bytes = Uint8Array.from(atob(el(id).textContent), c => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

function start(data) {
  const {measures, computed, blocksOf} = numbersOf(data);
  const titles = {...data.titles, lift: `shared ${data.unit}s / expected by chance`};
  const state = {view: data.views[0], step: data.asked, measure: data.value, order: "", pair: null, stretch: false, zoom: 1, width: 0};
  const step = () => data.steps[state.step];
  const isCount = () => state.measure === "intersection" || state.measure === "lift";
  const isSigned = () => data.signed.includes(state.measure);
  const written = number => Number.isNaN(number) ? DASH : isCount() ? counted(number) : percent(number);
  const several = () => state.view.members.some(members => members.length > 1);
  const name = x => state.view.labels[x];
  const shortName = x => (isNarrow(state.width) ? state.view.tiny : state.view.short)[x];
  let numbers = null;

  // Above the map.

  el("title").textContent = data.title;
  el("answer").append(...data.answer.map(([first, ...others], topic) => {
    const paragraph = made("p");
    paragraph.append(topic ? first : made("b", first), ` ${others.join(" ")}`);
    return paragraph;
  }));
  const notes = [...data.left_out.map(text => `On this page ${text}.`), ...data.notes];
  el("notes").hidden = notes.length === 0;
  el("notes").open = notes.join(" ").length < 600;
  el("notes").firstElementChild.textContent = `${things(notes.length, "note")} on these numbers`;
  el("notes").lastElementChild.append(...notes.map(text => made("li", text)));

  const options = (id, names, texts = names) => el(id).replaceChildren(...names.map((value, i) => new Option(texts[i], value)));
  options("view", data.views.map(view => view.name));
  el("view").parentElement.hidden = data.views.length === 1;
  options("measure", measures, measures.map(measure => titles[measure]));
  el("k").max = data.steps.length - 1;

  function setView(view) {
    Object.assign(state, {view, pair: null, order: view.order, zoom: 1});
    options("order", Object.keys(view.orders));
    el("order").value = view.order;
  }

  // The map.

  const map = heatmap(el("map"), {point: showReadout, choose});
  const cell = (x, y) => x !== y ? numbers.at(x, y).value
    : state.view.members[x].length > 1 ? numbers.ceilings[x].mean
    : several() ? NaN  // a training of one seed among those of several has no ceiling
    : state.measure === "intersection" ? step().sizes[state.view.members[x][0]] : state.measure === "lift" ? NaN
    : state.measure === data.value && step().own ? step().own[state.view.members[x][0]] : 1;  // by itself a set of zeros agrees with nothing

  function drawMap() {
    const {pairs} = numbers, values = pairs.map(pair => Math.abs(pair.value)).filter(Number.isFinite);
    const most = values.reduce((x, y) => Math.max(x, y), 0);
    const high = state.stretch || isCount() ? most || 1 : 1, low = isSigned() ? -high : 0;
    const colors = ramp(data.colors[isSigned() ? "diverging" : "sequential"]);
    const colorOf = value => Number.isNaN(value) ? null
      : colors[Math.round(255 * Math.min(Math.max((value - low) / (high - low), 0), 1))];
    const short = value => {
      if (Number.isNaN(value)) return DASH;
      if (!isCount()) return (100 * value).toFixed(value && Math.abs(value) < 0.01 ? 1 : 0);
      return value >= 1000 ? value.toLocaleString("en-US", {notation: "compact", maximumFractionDigits: 1}) : value.toFixed(value < 10 && value % 1 ? 1 : 0);
    };
    const layout = map.draw({
      view: state.view, order: state.view.orders[state.order], cell, colorOf, written: short, pair: state.pair, zoom: state.zoom,
      title: `${titles[state.measure]} of every two of ${things(state.view.labels.length, "row")}: arrow keys move, Enter shows the shared ${data.unit}s`,
    }, state.width);
    el("low").textContent = written(low).replace(".0%", "%");
    el("high").textContent = written(high).replace(".0%", "%");
    el("unit").textContent = titles[state.measure] + (layout.n <= NUMBERED_UP_TO && !isCount() ? ", cells in %" : "");
    const image = new ImageData(256, 1);
    colors.forEach((color, i) => image.data.set([...color, 255], 4 * i));
    el("scale").getContext("2d").putImageData(image, 0, 0);
    el("stretch").parentElement.hidden = isCount();
    el("zoom").hidden = layout.n <= NUMBERED_UP_TO;
  }

  function showReadout(x, y) {
    if (x === undefined && state.pair) [x, y] = state.pair;
    el("down").hidden = !state.pair;
    el("said").classList.toggle("hint", x === undefined);
    if (x === undefined) {
      el("said").textContent = `Point at a cell, or move through the map with the arrow keys, to read its numbers; choose one to see the ${data.unit}s that it shares.`;
      return;
    }
    const said = el("said");
    if (x === y) {
      const sizes = state.view.members[x].map(a => step().sizes[a]), ceiling = numbers.ceilings[x];
      said.replaceChildren(made("b", name(x)), ceiling
        ? `: its seeds agree to ${written(ceiling.mean)} on average (${written(ceiling.min)} to ${written(ceiling.max)}, ${things(ceiling.pairs, "pair")})`
        : `: ${things(sizes[0], data.unit)}`);
      return;
    }
    const pair = numbers.at(x, y);
    said.replaceChildren(made("b", name(x)), " and ", made("b", name(y)), `: ${factsOf(pair).join("; ")}`);
  }

  function factsOf(pair) {
    const facts = [`${titles[state.measure]} ${written(pair.value)}`];
    if (pair.sets) facts.push(`${state.view.aggregate} over ${things(pair.sets, "pair")} of seeds, ${written(pair.low)} to ${written(pair.high)}${pair.reached ? ", which is at the seeds' ceiling" : ""}`);
    facts.push(`${counted(pair.shared)} shared${state.measure === "intersection_frac" ? "" : `, ${percent(pair.frac)} of the smaller set`}`, `by chance ${average(pair.expected)}`);
    if (!pair.sets && pair.p !== null) facts.push(`p ${probabilityOf(pair.p)}`);
    for (const level of state.view.levels) {
      const [g, h] = [level.of[pair.x], level.of[pair.y]];
      facts.push(g === h ? `both of the ${level.name} ${level.names[g]}` : `${level.name}s ${level.names[g]} and ${level.names[h]}`);
    }
    return facts;
  }

  // The tables.

  const isPicked = ({x, y}) => state.pair !== null && state.pair[0] === x && state.pair[1] === y;
  const pairSheet = sheet(el("pairs"), {
    what: "pairs", size: 12, sort: "value", searched: ({x, y}) => `${name(x)}\n${name(y)}`, pick: ({x, y}) => choose(x, y),
  });

  function drawPairs() {
    const value = {intersection_frac: "of smaller", lift: "× chance", intersection: "shared"}[state.measure] ?? state.measure.replaceAll("_", " ");
    const columns = [
      {name: "runs", title: state.view.name, key: ({x, y}) => `${name(x)}\n${name(y)}`, shown: ({x, y}) => {
        const both = made("span", undefined, "both");
        both.append(...[x, y].map(row => Object.assign(made("span", shortName(row)), {title: name(row)})));
        return both;
      }},
      numberColumn("value", value, written),
    ];
    if (several()) columns.push(numberColumn("low", "lowest", low => low === undefined ? DASH : written(low)), numberColumn("high", "highest", high => high === undefined ? DASH : written(high)),
      {name: "reached", title: "at ceiling", number: true, key: pair => Number(pair.reached), shown: pair => pair.reached === null || pair.reached === undefined ? DASH : pair.reached ? "yes" : "no"});
    else {
      if (state.measure !== "intersection") columns.push(numberColumn("shared", "shared", counted));
      columns.push(numberColumn("expected", "by chance", average), {...numberColumn("p", "p", probabilityOf, {up: true}), key: pair => -pair.p});
    }
    pairSheet.show(`${things(numbers.pairs.length, "pair")} of ${state.view.name}`, several() ? "Each over its pairs of seeds." : "", columns, numbers.pairs);
    pairSheet.mark(isPicked);
  }

  const groups = sheet(el("groups"), {what: "rows", size: 20});
  const seeds = sheet(el("seeds"), {what: "trainings", size: 20});
  const ofTrainings = data.views.find(view => view.aggregate && view.members.some(members => members.length > 1)) ?? data.views[0];

  function drawGroups() {
    const grouped = ofTrainings.levels.find(level => level.name === "group");
    el("groups").hidden = !grouped;
    if (!grouped) return;
    const own = ofTrainings === state.view ? numbers : computed(ofTrainings, step(), state.measure);
    const rows = blocksOf(ofTrainings, own.pairs).sort((one, two) => one.place - two.place);
    groups.show(`Groups: ${titles[state.measure]}, ${step().name}`, "Each pair once; the numbers follow the measure and k above.", [
      {name: "name", title: "groups", key: row => row.place, shown: row => row.name},
      numberColumn("pairs", "pairs", counted), numberColumn("mean", "mean", written), numberColumn("max", "max", written),
    ], rows);
  }

  function drawTests() {
    if (!data.test) return;
    const share = number => number === null ? DASH : data.value === "intersection" ? counted(number) : percent(number);
    const p = number => number === null ? DASH : probability(number);
    el("tests").hidden = false;
    sheet(el("tests"), {what: "groups", size: 20}).show(
      `Each group against the others: ${titles[data.value]}, ${data.steps[data.asked].name}`,
      "How often a group's trainings would overlap by as much more among themselves if groups were exchanged among trainings; adjusted for the number of groups by Holm.", [
        {name: "group", title: "group", key: row => row.group, shown: row => row.group},
        numberColumn("trainings", "trainings", counted, {wide: true}), numberColumn("within", "within", share), numberColumn("against", "others", share),
        numberColumn("difference", "difference", share), numberColumn("p_value", "p", p, {up: true}), numberColumn("p_holm", "p (Holm)", p, {up: true}),
      ], data.test);
  }

  function drawSeeds() {
    const own = ofTrainings === state.view ? numbers : computed(ofTrainings, step(), state.measure);
    const rows = own.ceilings.map((ceiling, x) => ({x, ...(ceiling ?? {mean: NaN, std: NaN, min: NaN, max: NaN, pairs: 0})}));
    el("seeds").hidden = !own.ceilings.some(Boolean);
    seeds.show(`Seeds: how far those of one training agree, ${step().name}`, `Their ceiling, which two trainings can hardly exceed: ${titles[state.measure]}.`, [
      {name: "training", title: "training", key: ({x}) => ofTrainings.labels[x], shown: ({x}) => ofTrainings.labels[x]},
      numberColumn("mean", "mean", written), numberColumn("std", "std", written), numberColumn("min", "min", written),
      numberColumn("max", "max", written), numberColumn("pairs", "pairs", counted),
    ], rows);
  }

  const weights = weightList(el("weights"), data, () => { choose(0, 0); weights.heading.focus(); });

  function drawWeights() {
    weights.show(state.view, state.pair, step(), state.pair && numbers.at(...state.pair));
  }

  // What happens.

  function choose(x, y) {
    state.pair = x === y ? null : [Math.min(x, y), Math.max(x, y)];
    weights.first();
    map.mark(state.pair);
    pairSheet.mark(isPicked);
    showReadout();
    drawWeights();
  }

  function draw() {
    numbers = computed(state.view, step(), state.measure);
    el("k").value = state.step;
    el("k").setAttribute("aria-valuetext", step().name);
    el("step").textContent = step().name;
    drawMap();
    drawPairs();
    drawGroups();
    drawSeeds();
    drawWeights();
    showReadout();
  }

  const changed = (id, event, change) => { el(id)[event] = ({target}) => { change(target); draw(); }; };
  changed("view", "onchange", ({value}) => setView(data.views.find(view => view.name === value)));
  changed("measure", "onchange", ({value}) => { state.measure = value; });
  changed("order", "onchange", ({value}) => { state.order = value; });
  changed("k", "oninput", ({value}) => { state.step = Number(value); });
  el("stretch").onchange = ({target}) => { state.stretch = target.checked; drawMap(); };
  el("smaller").onclick = () => { state.zoom = Math.max(state.zoom / 1.5, 1); drawMap(); };
  el("larger").onclick = () => { state.zoom = Math.min(state.zoom * 1.5, 40); drawMap(); };
  el("down").onclick = () => { weights.heading.scrollIntoView(); weights.heading.focus(); };
  el("controls").onsubmit = event => event.preventDefault();
  for (const id of ["controls", "both"]) el(id).hidden = false;
  setView(state.view);
  el("measure").value = state.measure;

  const fit = width => { state.width = width; drawMap(); };
  state.width = el("overlap").clientWidth;
  draw();
  drawTests();
  new ResizeObserver(() => { if (el("overlap").clientWidth !== state.width) fit(el("overlap").clientWidth); }).observe(el("overlap"));
  // A sheet of paper, of A4 or Letter, is this wide between its margins, and turns no pages.
  window.onbeforeprint = () => { state.zoom = 1; fit(640); for (const list of [pairSheet, weights]) list.resize(30); };
  window.onafterprint = () => { fit(el("overlap").clientWidth); for (const list of [pairSheet, weights]) list.resize(); };
  document.body.dataset.ready = "yes";
}

(async () => {
  try {
    start(JSON.parse(await unpacked("data")));
  } catch (error) {
    el("title").textContent = `This page could not be shown: ${error}`;
  }
})();
