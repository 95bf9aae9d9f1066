struct Params {
  chunks_at: u32,
  chunk_count: u32,
  runs_at: u32,
  run_count: u32,
  heads: u32,
  query_heads: u32,
  key_heads: u32,
  state_heads: u32,
  state_rows: u32,
  state_vecs: u32,
  key_at: u32,
  key_token_stride: u32,
  key_head_stride: u32,
  key_batch_stride: u32,
  value_vecs: u32,
  head_vecs: u32,
  given_rows: u32,
  state_stride: u32,
  column_tiles: u32,
  padding_0: u32,
}

@group(0) @binding(0) var<storage, read> schedule: array<u32>;
@group(0) @binding(1) var<storage, read_write> states: array<vec4f>;
@group(0) @binding(2) var<storage, read> key: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> written: array<vec4f>;
@group(0) @binding(4) var<storage, read> erased: array<vec4f>;
@group(0) @binding(5) var<storage, read> gates: array<vec4f>;
@group(0) @binding(6) var<storage, read> initial_state: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> final_state: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read_write> kept_states: array<vec4f>;
@group(0) @binding(9) var<uniform> params: Params;

struct Chunk {
  batch: u32,
  token: u32,
  row: u32,
  count: u32,
}

fn read_chunk(at: u32) -> Chunk {
  return Chunk(
    schedule[at + 0],
    schedule[at + 1],
    schedule[at + 2],
    schedule[at + 3],
  );
}

fn chunk_of(index: u32) -> Chunk {
  return read_chunk(params.chunks_at + 4 * index);
}

struct StateRun {
  first: u32,
  count: u32,
  initial_slot: u32,
  final_slot: u32,
}

fn read_run(at: u32) -> StateRun {
  return StateRun(
    schedule[at + 0],
    schedule[at + 1],
    schedule[at + 2],
    schedule[at + 3],
  );
}

fn run_of(index: u32) -> StateRun {
  return read_run(params.runs_at + 4 * index);
}

fn query_head_of(head: u32) -> u32 {
  return head * params.query_heads / params.heads;
}

fn state_head_of(head: u32) -> u32 {
  return head * params.state_heads / params.heads;
}

fn key_head_of(state_head: u32) -> u32 {
  return state_head * params.key_heads / params.state_heads;
}

fn state_at(chunk_index: u32, state_head: u32, row: u32) -> u32 {
  return ((chunk_index * params.state_heads + state_head) * params.state_rows + row) * params.state_vecs;
}

fn state_block(chunk_index: u32, state_head: u32, row: u32, vec: u32) -> mat4x4f {
  let last = params.state_rows - 1u;
  return mat4x4f(
    select(vec4f(0.0), states[state_at(chunk_index, state_head, min(row + 0, last)) + vec], row + 0 <= last),
    select(vec4f(0.0), states[state_at(chunk_index, state_head, min(row + 1, last)) + vec], row + 1 <= last),
    select(vec4f(0.0), states[state_at(chunk_index, state_head, min(row + 2, last)) + vec], row + 2 <= last),
    select(vec4f(0.0), states[state_at(chunk_index, state_head, min(row + 3, last)) + vec], row + 3 <= last),
  );
}

fn key_place(batch: i32, token: u32, head: u32) -> u32 {
  return params.key_at + u32(batch) * params.key_batch_stride + token * params.key_token_stride + head * params.key_head_stride;
}

fn key_at(chunk: Chunk, token: u32, head: u32) -> u32 {
  return key_place(i32(chunk.batch), chunk.token + token, head);
}

fn load_key(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(key[at + vec]);
}

fn key_block(chunk: Chunk, head: u32, token: u32, vec: u32) -> mat4x4f {
  let last = chunk.count - 1u;
  return mat4x4f(
    select(vec4f(0.0), load_key(key_at(chunk, min(token + 0, last), head), vec), token + 0 <= last),
    select(vec4f(0.0), load_key(key_at(chunk, min(token + 1, last), head), vec), token + 1 <= last),
    select(vec4f(0.0), load_key(key_at(chunk, min(token + 2, last), head), vec), token + 2 <= last),
    select(vec4f(0.0), load_key(key_at(chunk, min(token + 3, last), head), vec), token + 3 <= last),
  );
}

fn written_at(chunk: Chunk, token: u32, state_head: u32) -> u32 {
  return ((chunk.row + token) * params.state_heads + state_head) * params.value_vecs;
}

fn written_block(chunk: Chunk, state_head: u32, token: u32, vec: u32) -> mat4x4f {
  let last = chunk.count - 1u;
  return mat4x4f(
    select(vec4f(0.0), written[written_at(chunk, min(token + 0, last), state_head) + vec], token + 0 <= last),
    select(vec4f(0.0), written[written_at(chunk, min(token + 1, last), state_head) + vec], token + 1 <= last),
    select(vec4f(0.0), written[written_at(chunk, min(token + 2, last), state_head) + vec], token + 2 <= last),
    select(vec4f(0.0), written[written_at(chunk, min(token + 3, last), state_head) + vec], token + 3 <= last),
  );
}

fn erased_at(chunk: Chunk, token: u32, state_head: u32) -> u32 {
  return ((chunk.row + token) * params.state_heads + state_head) * params.head_vecs;
}

fn erased_block(chunk: Chunk, state_head: u32, token: u32, vec: u32) -> mat4x4f {
  let last = chunk.count - 1u;
  return mat4x4f(
    select(vec4f(0.0), erased[erased_at(chunk, min(token + 0, last), state_head) + vec], token + 0 <= last),
    select(vec4f(0.0), erased[erased_at(chunk, min(token + 1, last), state_head) + vec], token + 1 <= last),
    select(vec4f(0.0), erased[erased_at(chunk, min(token + 2, last), state_head) + vec], token + 2 <= last),
    select(vec4f(0.0), erased[erased_at(chunk, min(token + 3, last), state_head) + vec], token + 3 <= last),
  );
}

fn gate_of(row: u32, state_head: u32, vec: u32) -> vec4f {
  return gates[(row * params.state_heads + state_head) * params.head_vecs + vec];
}

fn weighted(block: mat4x4f, weights: mat4x4f) -> mat4x4f {
  return mat4x4f(
    block[0] * weights[0],
    block[1] * weights[1],
    block[2] * weights[2],
    block[3] * weights[3],
  );
}

fn from_start(chunk: Chunk, state_head: u32, token: u32, vec: u32) -> mat4x4f {
  let last = chunk.row + chunk.count - 1u;
  var weights = mat4x4f();
  {
    let own = gate_of(min(chunk.row + token + 0, last), state_head, vec);
    weights[0] = exp(own);
  }
  {
    let own = gate_of(min(chunk.row + token + 1, last), state_head, vec);
    weights[1] = exp(own);
  }
  {
    let own = gate_of(min(chunk.row + token + 2, last), state_head, vec);
    weights[2] = exp(own);
  }
  {
    let own = gate_of(min(chunk.row + token + 3, last), state_head, vec);
    weights[3] = exp(own);
  }
  return weights;
}

fn given_state_at(slot: u32, state_head: u32, row: u32) -> u32 {
  return ((slot * params.state_heads + state_head) * params.given_rows + row) * params.state_stride;
}

fn load_initial(base: u32, vec: u32) -> vec4f {
  let at = base;
  return vec4f(initial_state[at + vec]);
}

fn store_final(base: u32, vec: u32, value: vec4f) {
  final_state[base + vec] = vec4<f32>(value);
}

fn entering_state(run: StateRun, state_head: u32, row: u32, vec: u32) -> vec4f {
  if (run.final_slot < 2147483648u) {
    let given_row = row;
    return load_initial(given_state_at(run.final_slot, state_head, given_row), vec);
  }
  if (run.final_slot >= 2147483648u && run.final_slot != 4294967295u) {
    return kept_states[state_at(run.final_slot - 2147483648u, state_head, row) + vec];
  }
  return vec4f(0.0);
}

fn leave_state(run: StateRun, state_head: u32, row: u32, vec: u32, state: vec4f) {
  if (run.initial_slot < 2147483648u) {
    let given_row = row;
    store_final(given_state_at(run.initial_slot, state_head, given_row), vec, state);
  }
  if (run.initial_slot >= 2147483648u && run.initial_slot != 4294967295u) {
    kept_states[state_at(run.initial_slot - 2147483648u, state_head, row) + vec] = state;
  }
}

var<workgroup> carried: array<vec4f, 1024>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let column_tile = group % params.column_tiles;
  let place = group / params.column_tiles;
  let state_head = place % params.state_heads;
  let run_index = place / params.state_heads;
  if (run_index >= params.run_count) {
    return;
  }
  let run = run_of(run_index);
  let key_head = key_head_of(state_head);
  let own_column = lane % 4;
  let vec = column_tile * 4 + own_column;
  let first_row = 4u * (lane / 4);
  // Lanes past the last column take part in barriers alone.
  let rows = select(0u, params.state_rows, vec < params.value_vecs);
  for (var row = first_row; row < rows; row += 64) {
    if (row + 0 < params.state_rows) {
      carried[(row + 0) * 4 + own_column] = entering_state(run, state_head, row + 0, vec);
    }
    if (row + 1 < params.state_rows) {
      carried[(row + 1) * 4 + own_column] = entering_state(run, state_head, row + 1, vec);
    }
    if (row + 2 < params.state_rows) {
      carried[(row + 2) * 4 + own_column] = entering_state(run, state_head, row + 2, vec);
    }
    if (row + 3 < params.state_rows) {
      carried[(row + 3) * 4 + own_column] = entering_state(run, state_head, row + 3, vec);
    }
  }
  for (var c = 0u; c < run.count; c++) {
    let chunk_index = run.first + run.count - 1u - c;
    let chunk = chunk_of(chunk_index);
    workgroupBarrier();
    let tokens = select(0u, chunk.count, vec < params.value_vecs);
    for (var token = first_row; token < tokens; token += 64) {
      let own = written_block(chunk, state_head, token, vec);
      var u_0 = own[0];
      var u_1 = own[1];
      var u_2 = own[2];
      var u_3 = own[3];
      for (var row = 0u; row < params.state_rows; row += 4u) {
        let erased = transpose(erased_block(chunk, state_head, token, row / 4u));
        if (row + 0 < params.state_rows) {
          let state = carried[(row + 0) * 4 + own_column];
          u_0 = fma(vec4f(1.0 * erased[0][0]), state, u_0);
          u_1 = fma(vec4f(1.0 * erased[0][1]), state, u_1);
          u_2 = fma(vec4f(1.0 * erased[0][2]), state, u_2);
          u_3 = fma(vec4f(1.0 * erased[0][3]), state, u_3);
        }
        if (row + 1 < params.state_rows) {
          let state = carried[(row + 1) * 4 + own_column];
          u_0 = fma(vec4f(1.0 * erased[1][0]), state, u_0);
          u_1 = fma(vec4f(1.0 * erased[1][1]), state, u_1);
          u_2 = fma(vec4f(1.0 * erased[1][2]), state, u_2);
          u_3 = fma(vec4f(1.0 * erased[1][3]), state, u_3);
        }
        if (row + 2 < params.state_rows) {
          let state = carried[(row + 2) * 4 + own_column];
          u_0 = fma(vec4f(1.0 * erased[2][0]), state, u_0);
          u_1 = fma(vec4f(1.0 * erased[2][1]), state, u_1);
          u_2 = fma(vec4f(1.0 * erased[2][2]), state, u_2);
          u_3 = fma(vec4f(1.0 * erased[2][3]), state, u_3);
        }
        if (row + 3 < params.state_rows) {
          let state = carried[(row + 3) * 4 + own_column];
          u_0 = fma(vec4f(1.0 * erased[3][0]), state, u_0);
          u_1 = fma(vec4f(1.0 * erased[3][1]), state, u_1);
          u_2 = fma(vec4f(1.0 * erased[3][2]), state, u_2);
          u_3 = fma(vec4f(1.0 * erased[3][3]), state, u_3);
        }
      }
      if (token + 0 < chunk.count) {
        written[written_at(chunk, token + 0, state_head) + vec] = u_0;
      }
      if (token + 1 < chunk.count) {
        written[written_at(chunk, token + 1, state_head) + vec] = u_1;
      }
      if (token + 2 < chunk.count) {
        written[written_at(chunk, token + 2, state_head) + vec] = u_2;
      }
      if (token + 3 < chunk.count) {
        written[written_at(chunk, token + 3, state_head) + vec] = u_3;
      }
    }
    storageBarrier();
    workgroupBarrier();
    for (var row = first_row; row < rows; row += 64) {
      let kept = exp(gate_of(chunk.row + chunk.count - 1u, state_head, row / 4u));
      let given = state_block(chunk_index, state_head, row, vec);
      var next_0 = vec4f(0.0);
      if (row + 0 < params.state_rows) {
        next_0 = carried[(row + 0) * 4 + own_column];
        states[state_at(chunk_index, state_head, row + 0) + vec] = next_0;
        next_0 = fma(vec4f(kept[0]), next_0, given[0]);
      }
      var next_1 = vec4f(0.0);
      if (row + 1 < params.state_rows) {
        next_1 = carried[(row + 1) * 4 + own_column];
        states[state_at(chunk_index, state_head, row + 1) + vec] = next_1;
        next_1 = fma(vec4f(kept[1]), next_1, given[1]);
      }
      var next_2 = vec4f(0.0);
      if (row + 2 < params.state_rows) {
        next_2 = carried[(row + 2) * 4 + own_column];
        states[state_at(chunk_index, state_head, row + 2) + vec] = next_2;
        next_2 = fma(vec4f(kept[2]), next_2, given[2]);
      }
      var next_3 = vec4f(0.0);
      if (row + 3 < params.state_rows) {
        next_3 = carried[(row + 3) * 4 + own_column];
        states[state_at(chunk_index, state_head, row + 3) + vec] = next_3;
        next_3 = fma(vec4f(kept[3]), next_3, given[3]);
      }
      for (var token = 0u; token < chunk.count; token += 4u) {
        let key = weighted(key_block(chunk, key_head, token, row / 4u), from_start(chunk, state_head, token, row / 4u));
        let u = written_block(chunk, state_head, token, vec);
        next_0 = fma(vec4f(-1.0 * key[0][0]), u[0], next_0);
        next_1 = fma(vec4f(-1.0 * key[0][1]), u[0], next_1);
        next_2 = fma(vec4f(-1.0 * key[0][2]), u[0], next_2);
        next_3 = fma(vec4f(-1.0 * key[0][3]), u[0], next_3);
        next_0 = fma(vec4f(-1.0 * key[1][0]), u[1], next_0);
        next_1 = fma(vec4f(-1.0 * key[1][1]), u[1], next_1);
        next_2 = fma(vec4f(-1.0 * key[1][2]), u[1], next_2);
        next_3 = fma(vec4f(-1.0 * key[1][3]), u[1], next_3);
        next_0 = fma(vec4f(-1.0 * key[2][0]), u[2], next_0);
        next_1 = fma(vec4f(-1.0 * key[2][1]), u[2], next_1);
        next_2 = fma(vec4f(-1.0 * key[2][2]), u[2], next_2);
        next_3 = fma(vec4f(-1.0 * key[2][3]), u[2], next_3);
        next_0 = fma(vec4f(-1.0 * key[3][0]), u[3], next_0);
        next_1 = fma(vec4f(-1.0 * key[3][1]), u[3], next_1);
        next_2 = fma(vec4f(-1.0 * key[3][2]), u[3], next_2);
        next_3 = fma(vec4f(-1.0 * key[3][3]), u[3], next_3);
      }
      if (row + 0 < params.state_rows) {
        carried[(row + 0) * 4 + own_column] = next_0;
      }
      if (row + 1 < params.state_rows) {
        carried[(row + 1) * 4 + own_column] = next_1;
      }
      if (row + 2 < params.state_rows) {
        carried[(row + 2) * 4 + own_column] = next_2;
      }
      if (row + 3 < params.state_rows) {
        carried[(row + 3) * 4 + own_column] = next_3;
      }
    }
  }
  for (var row = first_row; row < rows; row += 64) {
    if (row + 0 < params.state_rows) {
      leave_state(run, state_head, row + 0, vec, carried[(row + 0) * 4 + own_column]);
    }
    if (row + 1 < params.state_rows) {
      leave_state(run, state_head, row + 1, vec, carried[(row + 1) * 4 + own_column]);
    }
    if (row + 2 < params.state_rows) {
      leave_state(run, state_head, row + 2, vec, carried[(row + 2) * 4 + own_column]);
    }
    if (row + 3 < params.state_rows) {
      leave_state(run, state_head, row + 3, vec, carried[(row + 3) * 4 + own_column]);
    }
  }
}
