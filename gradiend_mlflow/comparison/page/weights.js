// The list of shared weights: what each is, and who has it.

const KINDS = ["layer", "component", "head", "neuron", "token"];
const naturally = text => text === null ? null : text.replace(/\d+/g, number => number.padStart(6, "0"));

function weightList(place, data, unpick) {
  const sets = data.views.length > 1 ? "seeds" : "runs";
  const weights = data.weights.map(([param, coordinates, head, neuron, token, runs, ranks, signed]) => {
    const [name, layer, component] = data.params[param];
    return {at: `${name}[${coordinates.join(", ")}]`, layer, component, head, neuron, token, runs, ranks, signed};
  });
  const known = KINDS.filter(kind => weights.some(weight => weight[kind] !== null));
  const placeOf = weight => known.filter(kind => weight[kind] !== null)
    .map(kind => kind === "layer" || kind === "component" ? weight[kind] : `${kind} ${weight[kind]}`).join(" · ");
  const list = sheet(place, {what: `${data.unit}s`, size: 25, searched: ({weight}) => `${placeOf(weight)}\n${weight.at}`});
  const back = made("button", "Weights of all pairs");
  back.type = "button";
  back.id = "all";
  back.onclick = unpick;
  place.querySelector(".bar").prepend(back);

  const text = value => value === null ? DASH : String(value);
  const names = [
    {name: "at", title: data.unit, narrow: true, key: ({weight}) => weight.at, shown: ({weight}) => {
      const both = made("span", placeOf(weight));
      both.append(made("span", weight.at, "at"));
      return both;
    }},
    ...known.map(kind => ({
      name: kind, title: kind, wide: true, number: kind === "neuron", up: true, shown: ({weight}) => text(weight[kind]),
      key: ({weight}) => kind === "head" || kind === "layer" ? naturally(weight[kind]) : weight[kind],
    })),
  ];
  const parameter = {
    name: "param", title: "parameter", wide: true, key: ({weight}) => weight.at, shown: ({weight}) => made("span", weight.at, "at"),
  };

  /** A weight with who has it at this k, and for each of the pair's rows its best rank and how many of its sets have it. */
  function rowOf(weight, view, pair, s) {
    const held = weight.runs.flatMap((set, i) => weight.ranks[i] <= s.sizes[set] ? [i] : []);
    const row = {weight, n: held.length, rank: mean(held.map(i => weight.ranks[i]))};
    pair?.forEach((x, side) => {
      const own = held.filter(i => view.members[x].includes(weight.runs[i]));
      const best = own.reduce((one, two) => weight.ranks[one] <= weight.ranks[two] ? one : two, own[0]);
      Object.assign(row, {
        [`rank${side}`]: weight.ranks[best] ?? NaN, [`sets${side}`]: own.length, [`signed${side}`]: weight.signed[best] ?? null,
      });
    });
    return row;
  }

  function pairColumns(view, pair, rows) {
    const rank = side => {
      const all = view.members[pair[side]].length, key = `rank${side}`;
      return numberColumn(key, `rank ${side + 1}`, counted, {
        up: true, shown: row => counted(row[key]) + (all > 1 ? ` (${row[`sets${side}`]}/${all})` : ""),
      });
    };
    const signed = side => numberColumn(`signed${side}`, `${data.unit === "neuron" ? "importance" : "weight"} ${side + 1}`, text, {wide: true});
    const hasSigned = side => rows.some(row => row[`signed${side}`] !== null);
    return [rank(0), rank(1), ...[0, 1].filter(hasSigned).map(signed)];
  }

  /** What is said of the weights of all pairs, or of those of one pair with its numbers. */
  function saidOf(view, pair, s, facts, rows) {
    const held = Math.max(...s.sizes) > data.weights_up_to
      ? ` The page holds the first ${things(data.weights_up_to, "weight")} of each run, and counts among those.` : "";
    if (!pair) {
      const of = data.labels.length === 2 ? "both" : `more than one of ${data.labels.length}`;
      return [`${things(rows.length, data.unit)} in ${of} ${sets}`, `In the ${s.name}, most widely shared first.${held}`];
    }
    const heading = `Shared by ${view.labels[pair[0]]} (1) and ${view.labels[pair[1]]} (2)`;
    if (facts.sets) return [heading, `${things(rows.length, data.unit)} that some seed of each has, with the best rank among the seeds and how many of them have it, in the ${s.name}.${held}`];
    const [a, b] = pair.map(x => data.runs[view.members[x][0]]);
    const listed = rows.length === facts.shared ? "" : ` The page has ${counted(rows.length)} of them.`;
    return [heading, `${things(facts.shared, data.unit)}, ${percent(facts.frac)}; ${average(facts.expected)} by chance, in the ${s.name}.${listed}${held} Runs ${a} and ${b}.`];
  }

  return {
    heading: list.heading, first: list.first, resize: list.resize,
    show(view, pair, s, facts) {
      const all = weights.map(weight => rowOf(weight, view, pair, s));
      const rows = all.filter(row => pair ? row.sets0 && row.sets1 : row.n > 1);
      rows.sort((one, two) => pair ? one.rank0 + one.rank1 - two.rank0 - two.rank1 : two.n - one.n || one.rank - two.rank);
      const ranks = pair ? pairColumns(view, pair, rows) : [numberColumn("rank", "mean rank", rank => counted(Math.round(rank)), {up: true})];
      const columns = [...names, ...ranks, numberColumn("n", `${sets} with it`, counted), parameter];
      back.hidden = !pair;
      list.show(...saidOf(view, pair, s, facts, rows), columns, rows);
    },
  };
}
