// Numbers of rows, from the counts of sets: a row is a run, or a training with the sets of its seeds.

const mean = values => values.reduce((sum, value) => sum + value, 0) / values.length;

const AGGREGATES = {
  mean,
  median(values) {
    const sorted = [...values].sort((x, y) => x - y), middle = sorted.length >> 1;
    return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  },
  min: values => Math.min(...values),
  max: values => Math.max(...values),
};

function spreadOf(values) {
  const center = mean(values);
  return {
    mean: center,
    std: values.length > 1 ? Math.sqrt(values.reduce((sum, value) => sum + (value - center) ** 2, 0) / (values.length - 1)) : NaN,
    min: Math.min(...values), max: Math.max(...values), pairs: values.length,
  };
}

/** Functions of the page's data; `a` and `b` are sets, `x` and `y` rows of a view, `s` what is known at one k. */
function numbersOf(data) {
  const n = data.labels.length;
  const place = (a, b) => a < b ? a * n - a * (a + 1) / 2 + b - a - 1 : place(b, a);
  const formulas = {
    intersection: (s, a, b) => s.shared[place(a, b)],
    intersection_frac: (s, a, b) => s.shared[place(a, b)] / Math.min(s.sizes[a], s.sizes[b]) || 0,
    jaccard: (s, a, b) => s.shared[place(a, b)] / (s.sizes[a] + s.sizes[b] - s.shared[place(a, b)]) || 0,
  };
  if (!(data.value in formulas)) formulas[data.value] = (s, a, b) => s.values[place(a, b)] ?? NaN;
  formulas.lift = (s, a, b) => s.shared[place(a, b)] / (s.expected[place(a, b)] || NaN);

  /** The pairs of sets that the number of two rows is taken over; of a row with itself, those of its seeds. */
  function setPairs(view, x, y) {
    const own = view.members[x], other = view.members[y];
    if (x === y) return own.flatMap((a, i) => own.slice(i + 1).map(b => [a, b]));
    if (view.matched) return own.map((a, i) => [a, other[i]]);
    return own.flatMap(a => other.map(b => [a, b]));
  }

  /** How far the seeds of a training agree; null for a single one. */
  function ceilingOf(view, s, measure, x) {
    const values = setPairs(view, x, x).map(([a, b]) => formulas[measure](s, a, b));
    return values.length ? spreadOf(values) : null;
  }

  /** Whether seeds of different numbers agree across two trainings as the less alike seeds of either do; null if unknown. */
  function reaches(view, s, measure, x, y, ceilings) {
    const least = Math.min(...[ceilings[x], ceilings[y]].map(ceiling => ceiling ? ceiling.min : NaN));
    const known = [];
    for (const a of view.members[x]) for (const b of view.members[y]) {
      const [one, other] = [data.seeds[a], data.seeds[b]];
      if (one !== null && other !== null && one !== other) known.push(formulas[measure](s, a, b));
    }
    return known.length > 0 && !Number.isNaN(least) ? mean(known) >= least : null;
  }

  /** All pairs of rows of a view, row by row; `at(x, y)` is one of them, `ceilings` what their seeds allow. */
  function computed(view, s, measure) {
    const rows = view.labels.length, pairs = [];
    const ceilings = view.members.map((_, x) => ceilingOf(view, s, measure, x));
    const aggregate = AGGREGATES[view.aggregate], formula = formulas[measure];
    for (let x = 0; x < rows; x++) for (let y = x + 1; y < rows; y++) {
      const sets = setPairs(view, x, y), [a, b] = sets[0], i = place(a, b);
      if (sets.length === 1) {
        pairs.push({x, y, value: formula(s, a, b), shared: s.shared[i], frac: formulas.intersection_frac(s, a, b),
          expected: s.expected[i], p: s.p[i]});
        continue;
      }
      const values = sets.map(([one, other]) => formula(s, one, other));
      pairs.push({
        x, y, value: aggregate(values), low: Math.min(...values), high: Math.max(...values), sets: sets.length,
        shared: mean(sets.map(([one, other]) => s.shared[place(one, other)])),
        expected: mean(sets.map(([one, other]) => s.expected[place(one, other)])),
        frac: mean(sets.map(([one, other]) => formulas.intersection_frac(s, one, other))),
        reached: reaches(view, s, measure, x, y, ceilings),
      });
    }
    const at = (x, y) => x < y ? pairs[x * rows - x * (x + 1) / 2 + y - x - 1] : at(y, x);
    return {pairs, at, ceilings};
  }

  /** What each two groups share, and all groups together; groups that are no group (`other`) count for neither. */
  function blocksOf(view, pairs) {
    const {of, names, other} = view.levels[0], blocks = new Map();
    const add = (key, row, value) => {
      const block = blocks.get(key) ?? blocks.set(key, {...row, values: []}).get(key);
      if (!Number.isNaN(value)) block.values.push(value);
    };
    const all = ["within groups", "between groups"];
    for (const {x, y, value} of pairs) {
      const [g, h] = [of[x], of[y]].sort((one, two) => one - two), within = g === h;
      add(`${g} ${h}`, {name: within ? `within ${names[g]}` : `${names[g]} × ${names[h]}`, place: g * names.length + h}, value);
      if (g !== other && h !== other) add(all[+!within], {name: all[+!within], whole: true, place: +!within - 2}, value);
    }
    return [...blocks.values()].map(({values, ...row}) => ({
      ...row, pairs: values.length, mean: mean(values), max: values.length ? Math.max(...values) : NaN,
    }));
  }

  return {measures: Object.keys(formulas), computed, blocksOf};
}
