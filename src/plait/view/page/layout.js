// A layered layout: tensors go down, from rank to rank; wires that pass a rank go between its boxes.
"use strict";

const Layout = (() => {
  const MOST_BENDS = 40000;

  // nodes: [{w, h, top, bottom}], top and bottom being whether it lies on that edge of the drawing.
  // edges: [{from, to, fromX, toX, key}], fromX and toX being offsets from the middle of a box;
  // edges with the same key and source carry the same tensor, and share their way.
  // Returns {nodes: [{x, y}] (middles), edges: [[[x, y], ...]], width, height}: an edge goes in
  // pairs of points, straight down within a pair and in a curve from pair to pair.
  function arrange(nodes, edges, { rankGap, nodeGap }) {
    const loops = edges.filter((edge) => edge.from === edge.to);
    const room = nodes.map((node) => node.w);
    for (const { from } of loops) room[from] += 2 * nodeGap;
    const back = backEdges(nodes.length, edges);
    const rank = ranks(nodes, edges, back);
    const net = network(nodes, edges, back, rank, room);
    order(net);
    place(net, nodeGap);
    return route(net, nodes, edges, rank, rankGap, nodeGap);
  }

  function backEdges(count, edges) {
    const out = lists(count);
    edges.forEach((edge, index) => out[edge.from].push(index));
    const state = new Uint8Array(count);
    const back = new Set();
    for (let start = 0; start < count; start++) {
      if (state[start]) continue;
      state[start] = 1;
      const stack = [[start, 0]];
      while (stack.length) {
        const top = stack[stack.length - 1];
        if (top[1] === out[top[0]].length) {
          state[top[0]] = 2;
          stack.pop();
          continue;
        }
        const index = out[top[0]][top[1]++];
        const to = edges[index].to;
        if (state[to] === 1) back.add(index);
        else if (!state[to]) {
          state[to] = 1;
          stack.push([to, 0]);
        }
      }
    }
    return back;
  }

  function ranks(nodes, edges, back) {
    const count = nodes.length;
    const [into, out] = [lists(count), lists(count)];
    edges.forEach(({ from, to }, index) => {
      if (back.has(index)) return;
      out[from].push(to);
      into[to].push(from);
    });
    const rank = new Array(count).fill(0);
    const missing = into.map((list) => list.length);
    const queue = [...nodes.keys()].filter((node) => !missing[node]);
    for (let head = 0; head < queue.length; head++) {
      for (const to of out[queue[head]]) {
        rank[to] = Math.max(rank[to], rank[queue[head]] + 1);
        if (!--missing[to]) queue.push(to);
      }
    }
    // What has more wires out than in goes down to whoever takes its tensors.
    for (const node of queue.slice().reverse()) {
      if (nodes[node].top || out[node].length <= into[node].length) continue;
      rank[node] = Math.min(...out[node].map((to) => rank[to])) - 1;
    }
    const last = Math.max(0, ...rank);
    nodes.forEach((node, index) => {
      if (node.bottom) rank[index] = last;
    });
    return rank;
  }

  // Vertices are the boxes, then the bends: where a wire passes a rank. A wire that goes up passes
  // the ranks of both of its boxes too. `links` join vertices of neighbouring ranks.
  function network(nodes, edges, back, rank, room) {
    const vertices = nodes.map((node, index) => ({ rank: rank[index], w: room[index], real: true }));
    const links = [];
    const ways = new Map();
    const paths = edges.map(() => []);
    const seen = new Set();
    let bends = 0;
    const bend = (at) => {
      bends++;
      return vertices.push({ rank: at, w: 6, real: false }) - 1;
    };
    const link = (a, b, aX, bX) => {
      const id = `${a} ${b} ${aX} ${bX}`;
      if (seen.has(id)) return;
      seen.add(id);
      const real = vertices[a].real + vertices[b].real;
      links.push({ a, b, aX, bX, weight: [8, 2, 3][real] });
    };
    edges.forEach(({ from, to, fromX, toX, key }, index) => {
      if (from === to) return;
      if (back.has(index)) {
        for (let at = rank[to]; at <= rank[from]; at++) paths[index].push(bend(at));
        for (let i = 1; i < paths[index].length; i++) link(paths[index][i - 1], paths[index][i], 0, 0);
        return;
      }
      if (bends > MOST_BENDS) {
        paths[index] = null;
        return;
      }
      const id = `${from} ${key}`;
      if (!ways.has(id)) ways.set(id, []);
      const way = ways.get(id);
      for (let at = rank[from] + 1; at < rank[to]; at++) {
        const step = at - rank[from] - 1;
        if (step === way.length) way.push(bend(at));
        paths[index].push(way[step]);
        if (step) link(way[step - 1], way[step], 0, 0);
        else link(from, way[0], fromX, 0);
      }
      const end = rank[to] - rank[from] - 1;
      if (end > 0) link(way[end - 1], to, 0, toX);
      else link(from, to, fromX, toX);
    });
    const up = lists(vertices.length);
    const down = lists(vertices.length);
    for (const { a, b, aX, bX, weight } of links) {
      down[a].push({ to: b, offset: bX - aX, weight, aX, bX });
      up[b].push({ to: a, offset: aX - bX, weight });
    }
    return { vertices, up, down, paths, rows: rows(vertices, down) };
  }

  function rows(vertices, down) {
    const result = lists(Math.max(0, ...vertices.map((vertex) => vertex.rank)) + 1);
    const done = new Uint8Array(vertices.length);
    const starts = [...vertices.keys()].sort((a, b) => vertices[a].rank - vertices[b].rank || a - b);
    for (const start of starts) {
      const stack = [start];
      while (stack.length) {
        const vertex = stack.pop();
        if (done[vertex]) continue;
        done[vertex] = 1;
        result[vertices[vertex].rank].push(vertex);
        for (const { to } of down[vertex].slice().reverse()) stack.push(to);
      }
    }
    return result;
  }

  // Fewer crossings: each row again and again by the means of its neighbours, the best is kept.
  function order({ vertices, up, down, rows }) {
    const position = new Float64Array(vertices.length);
    const number = (row) => row.forEach((vertex, index) => (position[vertex] = index));
    rows.forEach(number);
    const widest = Math.max(...rows.map((row) => row.length));
    if (widest < 2) return;
    const sort = (row, sides) => {
      const wish = new Map(
        row.map((vertex) => {
          const near = sides[vertex];
          const sum = near.reduce((all, { to, offset }) => all + position[to] + offset / 1e5, 0);
          return [vertex, near.length ? sum / near.length : position[vertex]];
        })
      );
      row.sort((a, b) => wish.get(a) - wish.get(b));
      number(row);
    };
    let best = rows.map((row) => row.slice());
    let fewest = crossings(rows, down, position);
    for (let round = 0; round < 10 && fewest; round++) {
      for (const row of rows) sort(row, up);
      for (const row of rows.slice().reverse()) sort(row, down);
      const count = crossings(rows, down, position);
      if (count < fewest) {
        fewest = count;
        best = rows.map((row) => row.slice());
      }
    }
    rows.forEach((row, index) => row.splice(0, row.length, ...best[index]));
  }

  function crossings(rows, down, position) {
    let count = 0;
    for (const row of rows) {
      const links = row.flatMap((vertex) =>
        down[vertex].map(({ to, aX, bX }) => [position[vertex] + aX / 1e5, position[to] + bX / 1e5])
      );
      links.sort((one, two) => one[0] - two[0] || one[1] - two[1]);
      count += inversions(links.map((link) => link[1]));
    }
    return count;
  }

  function inversions(values) {
    const sorted = [...new Set(values)].sort((a, b) => a - b);
    const place = new Map(sorted.map((value, index) => [value, index + 1]));
    const tree = new Int32Array(sorted.length + 1);
    let count = 0;
    values.forEach((value, index) => {
      let before = 0;
      for (let i = place.get(value); i > 0; i -= i & -i) before += tree[i];
      count += index - before;
      for (let i = place.get(value); i < tree.length; i += i & -i) tree[i]++;
    });
    return count;
  }

  // Middles: each vertex wants to be at the weighted median of its neighbours, and those of a row
  // keep their order and their distance (least squares, by pooling adjacent violators).
  function place(net, gap) {
    const { vertices, up, down, rows } = net;
    const x = (net.x = new Float64Array(vertices.length));
    const space = (a, b) => {
      const least = vertices[a].real || vertices[b].real ? gap : gap * 0.7;
      return (vertices[a].w + vertices[b].w) / 2 + least;
    };
    for (const row of rows) {
      row.forEach((vertex, i) => (x[vertex] = i ? x[row[i - 1]] + space(row[i - 1], vertex) : 0));
      const middle = (x[row[0]] + x[row[row.length - 1]]) / 2;
      for (const vertex of row) x[vertex] -= middle;
    }
    const settle = (row, sides) => {
      const blocks = [];
      let shift = 0;
      row.forEach((vertex, index) => {
        if (index) shift += space(row[index - 1], vertex);
        const near = sides.flatMap((side) => side[vertex]);
        const wish = near.length ? median(near, x) : x[vertex];
        const weight = near.length ? (vertices[vertex].real ? 1 : 0.001) : 0.01;
        blocks.push({ sum: (wish - shift) * weight, weight, members: [[vertex, shift]] });
        while (blocks.length > 1) {
          const [one, two] = blocks.slice(-2);
          if (one.sum / one.weight <= two.sum / two.weight) break;
          blocks.pop();
          one.sum += two.sum;
          one.weight += two.weight;
          one.members.push(...two.members);
        }
      });
      for (const { sum, weight, members } of blocks)
        for (const [vertex, offset] of members) x[vertex] = sum / weight + offset;
    };
    const backwards = rows.slice().reverse();
    for (let round = 0; round < 8; round++) {
      for (const row of rows) settle(row, [up]);
      for (const row of backwards) settle(row, [down]);
    }
    straighten(net, space);
  }

  // Bends of one wire stand under each other where the boxes beside them leave room.
  function straighten({ vertices, rows, paths, x }, space) {
    const place = new Map(rows.flatMap((row) => row.map((vertex, index) => [vertex, [row, index]])));
    for (const way of new Set(paths.map(String))) {
      const bends = way ? way.split(",").map(Number) : [];
      if (bends.length < 2) continue;
      let [low, high] = [-Infinity, Infinity];
      for (const bend of bends) {
        const [row, index] = place.get(bend);
        if (index) low = Math.max(low, x[row[index - 1]] + space(row[index - 1], bend));
        if (index + 1 < row.length) high = Math.min(high, x[row[index + 1]] - space(bend, row[index + 1]));
      }
      if (low > high) continue;
      const wish = bends.map((bend) => x[bend]).sort((a, b) => a - b)[bends.length >> 1];
      for (const bend of bends) x[bend] = Math.min(high, Math.max(low, wish));
    }
  }

  function median(near, x) {
    const points = near
      .map(({ to, offset, weight }) => [x[to] + offset, weight])
      .sort((a, b) => a[0] - b[0]);
    const half = points.reduce((sum, point) => sum + point[1], 0) / 2;
    let sum = 0;
    for (let i = 0; i < points.length; i++) {
      sum += points[i][1];
      if (sum > half) return points[i][0];
      if (sum === half) return (points[i][0] + points[i + 1][0]) / 2;
    }
    return 0;
  }

  function route({ vertices, up, rows, paths, x }, nodes, edges, rank, rankGap, nodeGap) {
    const left = Math.min(...nodes.map((node, i) => x[i] - node.w / 2), ...bendsOf(paths, x, Math.min));
    const right = Math.max(
      ...nodes.map((node, i) => x[i] - node.w / 2 + vertices[i].w),
      ...bendsOf(paths, x, Math.max)
    );
    const tops = [];
    const bottoms = [];
    let y = 0;
    rows.forEach((row, index) => {
      if (index) {
        const steepest = Math.max(
          0,
          ...row.flatMap((v) => up[v].map(({ to, offset }) => Math.abs(x[to] + offset - x[v])))
        );
        y += rankGap + Math.min(90, steepest * 0.12);
      }
      tops.push(y);
      y += Math.max(0, ...row.filter((v) => vertices[v].real).map((v) => nodes[v].h));
      bottoms.push(y);
    });
    const at = (node) => x[node] - left;
    const placed = nodes.map((node, i) => ({
      x: at(i),
      y: node.bottom ? y : node.top ? node.h / 2 : (tops[rank[i]] + bottoms[rank[i]]) / 2,
    }));
    const loops = new Map();
    const drawn = edges.map(({ from, to, fromX, toX }, index) => {
      const start = [placed[from].x + fromX, placed[from].y + nodes[from].h / 2];
      const end = [placed[to].x + toX, placed[to].y - nodes[to].h / 2];
      const path = paths[index];
      const exit = [start[0], bottoms[rank[from]] + rankGap * 0.4];
      const entry = [end[0], tops[rank[to]] - 6];
      if (from === to || (path && path.length && rank[from] >= rank[to])) {
        let side;
        if (from === to) {
          const turn = loops.get(from) || 0;
          loops.set(from, turn + 1);
          side = placed[from].x + nodes[from].w / 2 + nodeGap * (0.5 + 0.4 * turn);
        } else {
          side = at(path[path.length >> 1]);
        }
        return [start, exit, [side, exit[1] - 6], [side, entry[1] - rankGap * 0.2], entry, end];
      }
      const middle = (path || []).flatMap((vertex) => [
        [at(vertex), tops[vertices[vertex].rank] - 6],
        [at(vertex), bottoms[vertices[vertex].rank] + rankGap * 0.4],
      ]);
      return [start, exit, ...middle, entry, end];
    });
    return { nodes: placed, edges: drawn, width: right - left, height: y };
  }

  function bendsOf(paths, x, extreme) {
    const all = paths.flatMap((path) => path || []).map((vertex) => x[vertex]);
    return all.length ? [all.reduce((a, b) => extreme(a, b))] : [];
  }

  const lists = (count) => Array.from({ length: count }, () => []);

  return { arrange };
})();
