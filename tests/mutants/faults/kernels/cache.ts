/**
 * One-line faults in the kernels that write to a cache.
 *
 * @module
 */

import { type Fault, faultsIn, faultsInKernel } from "../../fault.ts";

/** Every fault listed for it. */
export const CACHE_KERNEL_FAULTS: readonly Fault[] = [
  ...faultsInKernel("cache.append", ["kernels/cache"], [
    [
      "the first slot of the next arena is written into this one",
      "slot - params.first_slot >= params.slot_count",
      "slot - params.first_slot > params.slot_count",
    ],
    [
      "all kv heads go to the first one's place",
      "(slot - params.first_slot) * params.kv_heads + kv_head",
      "(slot - params.first_slot) * params.kv_heads",
    ],
    [
      "values go where keys are",
      "store_value(params.value_at + row",
      "store_value(row",
    ],
    [
      "a key's tail is lost",
      "vec < params.head_vecs",
      "vec + 1u < params.head_vecs",
    ],
  ]),
  ...faultsInKernel("cache.append", ["kv/rope_append"], [
    [
      "keys are rotated the other way",
      "select(other, -other, first)",
      "select(-other, other, first)",
    ],
    [
      "keys are rotated as at position 0",
      "position * params.rotary_pairs + pair",
      "pair",
    ],
    [
      "what is not to be rotated is rotated",
      "if (i < 2u * params.rotary_pairs) {",
      "if (true) {",
    ],
  ]),
  ...faultsInKernel("cache.copy_blocks", ["kernels/cache"], [
    [
      "unwritten rows are copied too",
      "chunk_of(rows * params.key_row, start)",
      "chunk_of(params.destination_key_block, start)",
    ],
    [
      "every copy goes to the first block",
      "params.destination_value_at + to_block * params.destination_value_block",
      "params.destination_value_at",
    ],
    [
      "keys are copied over values",
      "params.destination_value_at + to_block",
      "to_block",
    ],
    ["half of the rows are lost", "i += $lanes)", "i += 2u * $lanes)"],
  ]),
  ...faultsInKernel("cache.copy_blocks", ["kv/copier"], [
    [
      "every chunk is the first one",
      "let start = group_id.y * params.chunk",
      "let start = 0u",
    ],
    [
      "a chunk goes on past its block",
      "min(count - min(count, start), params.chunk)",
      "min(count, params.chunk)",
    ],
    [
      "every dispatch makes the first one's copies",
      "params.first_copy + group_id.x",
      "group_id.x",
    ],
  ]),
  ...faultsIn("copyUnit", ["kv/copier"], [
    [
      "a unit is wider than the rows",
      "row.key % unit + row.value % unit === 0",
      "row.key % unit === 0",
    ],
  ]),
  ...faultsInKernel("cache.copy_blocks/2", ["kv/copier"], [
    [
      "the half before a row is lost",
      "atomicAnd(&destination[word], ~mask)",
      "atomicAnd(&destination[word], 0u)",
    ],
    ["old bits shine through", "atomicAnd(&destination[word], ~mask);", ""],
    [
      "a row that begins within a word loses its first half",
      "var word = to_at / 2u + lane",
      "var word = (to_at + 1u) / 2u + lane",
    ],
    [
      "a row that ends within a word loses its last half",
      "2u * word < to_at + count",
      "2u * word + 1u < to_at + count",
    ],
    [
      "the half after a row is written too",
      "if (i < count) {",
      "if (i <= count) {",
    ],
    [
      "halves are read from whole words alone",
      "16u * ((from_at + i) % 2u)",
      "0u",
    ],
    ["half of the words are lost", "word += $lanes)", "word += 2u * $lanes)"],
  ]),
];
