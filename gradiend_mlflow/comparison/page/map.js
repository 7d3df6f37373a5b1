// The heatmap: a picture of one pixel per cell, between names and brackets that are text.

const LEAST_NAMED = 10;  // CSS pixels of a cell beside which a name can be read
const LEAST_MARK = 8, MOST_CELL = 56, NUMBERED_UP_TO = 20;
const GAP = 4;

const isNarrow = width => width < 600;
const pixels = number => `${number}px`;

function styled(node, style) {
  Object.assign(node.style, style);
  return node;
}

/** 256 colors [r, g, b] from some of them as #rrggbb. */
function ramp(colors) {
  const parts = colors.map(color => [1, 3, 5].map(at => parseInt(color.slice(at, at + 2), 16)));
  return Array.from({length: 256}, (_, i) => {
    const at = i / 255 * (parts.length - 1), low = Math.min(Math.floor(at), parts.length - 2);
    return parts[low].map((part, channel) => Math.round(part + (parts[low + 1][channel] - part) * (at - low)));
  });
}

/** Black or white, whichever stands out more from a color. */
function inkOn(color) {
  const [r, g, b] = color.map(part => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}

function widthOf(texts, size, weight = 400) {
  const context = document.createElement("canvas").getContext("2d");
  context.font = `${weight} ${size}px ${getComputedStyle(document.body).fontFamily}`;
  return Math.ceil(Math.max(...texts.map(text => context.measureText(text).width), 0));
}

/** The stretches of equal numbers in a list: [{of, from, to}]. */
function segmentsOf(list) {
  const found = [];
  list.forEach((of, at) => {
    if (found.length && found.at(-1).of === of) found.at(-1).to = at + 1;
    else found.push({of, from: at, to: at + 1});
  });
  return found;
}

/**
 * A map in `place`. `on.point(x, y)` is told which cell is pointed at, by mouse or arrow keys (none if it is left), and
 * `on.choose(x, y)` which is clicked or entered; x and y are rows of the view.
 */
function heatmap(place, on) {
  const corner = made("div"), top = made("div", undefined, "top"), left = made("div", undefined, "left");
  const plane = made("div", undefined, "plane"), canvas = made("canvas"), over = made("div", undefined, "over");
  const cursor = made("div", undefined, "cursor");
  corner.className = "corner";
  plane.tabIndex = 0;
  plane.setAttribute("role", "application");
  plane.setAttribute("aria-roledescription", "heatmap");
  over.setAttribute("aria-hidden", "true");
  plane.append(canvas, over, cursor);
  place.replaceChildren(corner, top, left, plane);
  let content = null, layout = null, at = null, painted = null;

  /** How large everything is in a certain width. */
  function layoutOf(width) {
    const {order, view, zoom} = content, n = order.length, narrow = isNarrow(width);
    const names = narrow ? view.tiny : view.short;
    const levels = view.levels.map(level => ({
      ...level, full: level.names, names: narrow ? level.tiny : level.short, segments: segmentsOf(order.map(row => level.of[row])),
    }));
    const nameWidth = widthOf(names, 12) + 2 * GAP;
    const cellBeside = used => {
      const fit = (width - used - 2) / n;
      const least = n <= NUMBERED_UP_TO ? 18 : n <= 60 ? LEAST_NAMED : 0;
      const cell = Math.min(Math.max(fit, least), MOST_CELL) * zoom;
      return cell >= LEAST_NAMED ? Math.floor(cell) : cell;
    };
    const named = cellBeside(0) >= LEAST_NAMED;
    const room = named ? nameWidth : 0, along = 12 + 3 * GAP;
    const cellAlong = cellBeside(room + along * levels.length);
    for (const level of levels) {
      const fits = ({of, from, to}) => widthOf([level.names[of]], 12, 600) + GAP <= (to - from) * cellAlong;
      level.along = level.segments.every(fits);
      level.room = level.along ? along : widthOf(level.names, 12, 600) + 4 * GAP;
    }
    const cell = cellBeside(room + levels.reduce((sum, level) => sum + level.room, 0));
    return {n, cell, names, levels, named, room: named ? nameWidth : 0, flat: named && nameWidth <= cell};
  }

  /** The names and brackets of one side. */
  function drawSide(side, isTop) {
    const {n, cell, names, levels, named, room, flat} = layout, length = n * cell, bars = [];
    const extent = (from, to) => isTop ? {left: pixels(from * cell), width: pixels((to - from) * cell)}
      : {top: pixels(from * cell), height: pixels((to - from) * cell)};
    const bar = (size, className) => styled(made("div", undefined, className), isTop
      ? {height: pixels(size), width: pixels(length)} : {width: pixels(size), height: pixels(length)});
    for (const level of levels) {
      const own = bar(level.room, "brackets");
      for (const {of, from, to} of level.segments) {
        const bracket = styled(made("div", undefined, `bracket ${level.along === isTop ? "level" : "upright"}`), extent(from, to));
        if (level.along || (to - from) * cell >= LEAST_NAMED + 1) bracket.append(made("span", level.names[of]));
        bracket.title = level.full[of];
        own.append(bracket);
      }
      bars.push(own);
    }
    if (named) {
      const size = isTop && flat ? 12 + 2 * GAP : room, own = bar(size, "names");
      content.order.forEach((row, i) => {
        const name = styled(made("div", names[row], isTop && !flat ? "upright" : "level"), extent(i, i + 1));
        name.title = content.view.labels[row];
        own.append(name);
      });
      own.style.fontSize = own.style.lineHeight = pixels(Math.min(Math.max(cell, LEAST_NAMED), 12));
      bars.push(own);
    }
    side.replaceChildren(...bars);
  }

  function paint() {
    const {order, cell: value, colorOf} = content, n = order.length;
    const image = new ImageData(n, n);
    painted = [];
    order.forEach((x, row) => order.forEach((y, column) => {
      const color = colorOf(value(x, y));
      if (color) image.data.set([...color, 255], 4 * (row * n + column));
      painted.push(color);
    }));
    canvas.width = canvas.height = n;
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  function drawCells() {
    const {n, cell, levels} = layout, nodes = [];
    for (const node of [plane, canvas, over]) styled(node, {width: pixels(n * cell), height: pixels(n * cell)});
    over.classList.toggle("lined", cell >= 8);
    over.style.backgroundSize = `${cell}px ${cell}px`;
    if (n <= NUMBERED_UP_TO && cell >= 16) {
      const texts = content.order.flatMap(x => content.order.map(y => content.written(content.cell(x, y))));
      const size = Math.max(8, Math.min(13, Math.floor(10 * (cell - 3) / widthOf(texts, 10)), cell - 6));
      content.order.forEach((_, row) => content.order.forEach((_, column) => {
        const color = painted[row * n + column];
        nodes.push(styled(made("span", texts[row * n + column]), {
          left: pixels(column * cell), top: pixels(row * cell), width: pixels(cell), lineHeight: pixels(cell),
          fontSize: pixels(size), ...(color && {color: inkOn(color)}),
        }));
      }));
    }
    if (levels.length) for (const {from} of levels[0].segments.slice(1)) {
      nodes.push(styled(made("i"), {left: pixels(from * cell - 1), top: 0, width: "2px", height: "100%"}));
      nodes.push(styled(made("i"), {top: pixels(from * cell - 1), left: 0, height: "2px", width: "100%"}));
    }
    over.replaceChildren(...nodes);
  }

  function outline(node, row, column) {
    const size = Math.max(layout.cell, LEAST_MARK), start = index => pixels((index + 0.5) * layout.cell - size / 2);
    styled(node, {left: start(column), top: start(row), width: pixels(size), height: pixels(size)});
  }

  function mark() {
    plane.querySelectorAll(".chosen").forEach(node => node.remove());
    if (!content.pair) return;
    const [row, column] = content.pair.map(x => content.order.indexOf(x));
    for (const [i, j] of [[row, column], [column, row]]) {
      const node = made("div", undefined, "chosen");
      outline(node, i, j);
      plane.insertBefore(node, cursor);
    }
  }

  function moveTo(next) {
    at = next;
    cursor.hidden = !at;
    if (at) outline(cursor, at.row, at.column);
    if (at) on.point(content.order[at.row], content.order[at.column]); else on.point();
  }

  const cellUnder = event => {
    const box = plane.getBoundingClientRect(), n = content.order.length;
    const index = (position, size) => Math.min(Math.max(Math.floor(position / size * n), 0), n - 1);
    return {row: index(event.clientY - box.top, box.height), column: index(event.clientX - box.left, box.width)};
  };
  plane.onmousemove = event => {
    const next = cellUnder(event);
    if (!at || at.row !== next.row || at.column !== next.column) moveTo(next);
  };
  plane.onmouseleave = () => moveTo(null);
  plane.onfocus = () => { if (plane.matches(":focus-visible")) moveTo(at ?? {row: 0, column: Math.min(1, content.order.length - 1)}); };
  plane.onblur = () => moveTo(null);
  const enter = () => on.choose(content.order[at.row], content.order[at.column]);
  plane.onclick = event => { moveTo(cellUnder(event)); enter(); };
  const MOVES = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]};
  plane.onkeydown = event => {
    const last = content.order.length - 1, {row, column} = at ?? {row: 0, column: 0};
    const bound = index => Math.min(Math.max(index, 0), last);
    const [down, right] = MOVES[event.key] ?? [0, 0];
    if (event.key === "Enter" || event.key === " ") { if (at) enter(); }
    else if (event.key === "Home" || event.key === "End") moveTo({row, column: event.key === "Home" ? 0 : last});
    else if (event.key in MOVES) moveTo({row: bound(row + down), column: bound(column + right)});
    else return;
    event.preventDefault();
    cursor.scrollIntoView({block: "nearest", inline: "nearest"});
  };

  return {
    /** The number of rows changes nothing here: all is drawn anew. */
    draw(newContent, width) {
      content = newContent;
      layout = layoutOf(width);
      paint();
      drawSide(top, true);
      drawSide(left, false);
      drawCells();
      plane.setAttribute("aria-label", content.title);
      styled(place, {scrollPadding: `${top.offsetHeight}px 0 0 ${left.offsetWidth}px`});
      at = at && at.row < layout.n && at.column < layout.n ? at : null;
      moveTo(at);
      mark();
      return layout;
    },
    mark(pair) { content.pair = pair; mark(); },
  };
}
