// A table that is sorted by its headings, searched, and turned page by page.

const made = (tag, text, className) => {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;  // never as HTML: labels are anybody's text
  if (className) node.className = className;
  return node;
};

const ordered = (u, v) => u > v ? 1 : u < v ? -1 : 0;
const isMissing = key => key === null || key === undefined || Number.isNaN(key);

/** A column of the numbers under `key` of the rows. */
const numberColumn = (key, title, shown, more = {}) => ({name: key, title, number: true, key: row => row[key], shown: row => shown(row[key]), ...more});

/**
 * A column is {name, title, number, shown(row), key(row), wide}: what is shown is a text or a node, rows are sorted by
 * the key: numbers by the largest first unless `up`. Wide columns are shown only where there is room for them, narrow ones
 * only where not. The first column names the row.
 *
 * Options: `what` the rows are, how many are on a page (`size`), by what they are `sort`ed (null as they come) and whether
 * `down`, what is `searched` of a row, what happens if one is `pick`ed.
 */
function sheet(place, {what, size, sort = null, down = true, searched, pick}) {
  const state = {sort, down, page: 0, find: "", size};
  let rows = [], columns = [], picked = () => false;
  const heading = made("h2"), said = made("p", "", "quiet"), bar = made("div", undefined, "bar");
  const frame = made("div", undefined, "frame"), table = made("table"), head = made("tr"), body = made("tbody");
  const where = made("span"), back = made("button", "‹"), on = made("button", "›");
  heading.id = `${place.id}-heading`;
  heading.tabIndex = -1;
  frame.setAttribute("role", "region");
  for (const node of [frame, table]) node.setAttribute("aria-labelledby", heading.id);
  where.setAttribute("role", "status");
  for (const [button, step, text] of [[back, -1, `Previous ${what}`], [on, 1, `Next ${what}`]]) {
    button.type = "button";
    button.setAttribute("aria-label", text);
    button.onclick = () => {
      if (button.getAttribute("aria-disabled") === "true") return;
      state.page += step;
      draw();
    };
  }
  if (searched) {
    const label = made("label", "find "), find = made("input");
    find.type = "search";
    find.id = `${place.id}-find`;
    find.oninput = () => { Object.assign(state, {find: find.value, page: 0}); draw(); };
    label.append(find);
    bar.append(label);
  }
  const pages = made("span", undefined, "pages");
  pages.append(back, where, on);
  bar.append(pages);
  table.append(made("thead"), body);
  table.tHead.append(head);
  frame.append(table);
  place.replaceChildren(heading, said, bar, frame);

  function drawHead() {
    head.replaceChildren(...columns.map(column => {
      const cell = made("th", undefined, classOf(column)), button = made("button", column.title);
      cell.scope = "col";
      button.type = "button";
      button.onclick = () => {
        Object.assign(state, {down: state.sort === column.name ? !state.down : Boolean(column.number && !column.up), sort: column.name, page: 0});
        draw();
      };
      cell.append(button);
      return cell;
    }));
  }

  const classOf = column => [column.number ? "number" : "text", column.wide && "wide", column.narrow && "narrow"].filter(Boolean).join(" ");

  function found() {
    const wanted = state.find.trim().toLowerCase();
    const chosen = wanted ? rows.filter(row => searched(row).toLowerCase().includes(wanted)) : [...rows];
    const column = columns.find(({name}) => name === state.sort);
    if (!column) return chosen;
    const sign = state.down ? -1 : 1;
    return chosen.sort((one, two) => {
      const u = column.key(one), v = column.key(two);
      if (isMissing(u) || isMissing(v)) return isMissing(u) - isMissing(v);  // last, either way
      return sign * ordered(u, v);
    });
  }

  function draw() {
    const chosen = found(), last = Math.max(Math.ceil(chosen.length / state.size) - 1, 0);
    state.page = Math.min(state.page, last);
    const first = state.page * state.size, shown = chosen.slice(first, first + state.size);
    columns.forEach((column, i) => {
      const up = state.sort === column.name ? (state.down ? "descending" : "ascending") : "none";
      head.cells[i].setAttribute("aria-sort", up);
    });
    body.replaceChildren(...shown.map(row => {
      const line = made("tr", undefined, row.whole ? "whole" : "");
      line.row = row;
      columns.forEach((column, i) => {
        const cell = made(i ? "td" : "th", undefined, classOf(column)), content = column.shown(row);
        if (!i) cell.scope = "row";
        if (!i && pick) {
          const button = made("button", undefined, "pick");
          button.type = "button";
          button.append(content);
          cell.append(button);
        } else cell.append(content);
        line.append(cell);
      });
      if (pick) line.onclick = () => pick(row);
      return line;
    }));
    mark(picked);
    back.setAttribute("aria-disabled", state.page === 0);
    on.setAttribute("aria-disabled", state.page === last);
    pages.hidden = !state.find && rows.length <= size;
    where.textContent = chosen.length ? `${counted(first + 1)}–${counted(first + shown.length)} of ${counted(chosen.length)} ${what}`
      : state.find ? `no ${what} with “${state.find}”` : `no ${what}`;
    frame.tabIndex = frame.scrollWidth > frame.clientWidth ? 0 : -1;  // only what scrolls is a stop of the Tab key
  }

  /** Mark the rows for which `isPicked` holds. */
  function mark(isPicked) {
    picked = isPicked;
    for (const line of body.rows) {
      line.classList.toggle("chosen", isPicked(line.row));
      line.querySelector(".pick")?.setAttribute("aria-pressed", isPicked(line.row));
    }
  }

  return {
    heading, mark,
    /** Show these rows in these columns, with what is said above them. */
    show(title, text, newColumns, newRows) {
      const key = list => list.map(column => column.name + column.title).join("\n");
      const changed = key(columns) !== key(newColumns);
      [columns, rows] = [newColumns, newRows];
      heading.textContent = title;
      said.textContent = text;
      said.hidden = !text;
      if (changed) drawHead();
      draw();
    },
    first() { state.page = 0; },
    resize(number) { state.size = number ?? size; draw(); },
  };
}
