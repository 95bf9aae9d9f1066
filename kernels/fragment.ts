/**
 * Fragments, and kernels as their sum: what a piece of WGSL declares, binds and
 * takes as uniforms stands in one value, so that a kernel has just what its
 * fragments need.
 *
 * @module
 */

import type { Binding, KernelSource } from "../src/core/kernel.ts";
import type { UniformFields } from "../src/core/uniforms.ts";
import { declareBindings, declareUniforms, indent } from "./wgsl.ts";

/** A part of a kernel. */
export interface Fragment {
  /** Fragments whose declarations it uses. */
  readonly needs?: readonly Fragment[];
  /** Declarations. */
  readonly code?: string;
  /** Resources that it uses, in the order in which they are bound. */
  readonly bindings?: readonly Binding[];
  /** Fields of `params` that it reads. */
  readonly uniforms?: UniformFields;
}

/** What a kernel is made of. */
export interface KernelParts {
  /** A readable name. */
  readonly label: string;
  /** Its fragments; their order is that of bindings and declarations. */
  readonly fragments: readonly Fragment[];
  /** The entry point. */
  readonly main: string;
}

/**
 * The kernel that fragments and an entry point make. Fragments may name the same
 * declarations, binding or uniform; it is there once.
 *
 * @throws {TypeError} if two fragments disagree about a binding or a uniform
 */
export function kernelOf(
  { label, fragments, main }: KernelParts,
): KernelSource {
  const bindings = new Map<string, Binding>();
  const uniforms: Record<string, UniformFields[string]> = {};
  const code = new Set<string>();
  for (const fragment of fragments.flatMap(withNeeds)) {
    if (fragment.code) code.add(fragment.code.trim());
    for (const binding of fragment.bindings ?? []) {
      const { type, access } = bindings.get(binding.name) ?? binding;
      agree(
        label,
        binding.name,
        `${access} ${type}`,
        [
          binding.access,
          binding.type,
        ].join(" "),
      );
      bindings.set(binding.name, binding);
    }
    for (const [name, type] of Object.entries(fragment.uniforms ?? {})) {
      agree(label, name, uniforms[name] ?? type, type);
      uniforms[name] = type;
    }
  }
  const params: Binding[] = Object.keys(uniforms).length > 0
    ? [{ name: "params", type: "Params", access: "uniform" }]
    : [];
  const table = [...bindings.values(), ...params];
  const half = table.some(({ type }) => type.includes("f16"));
  return {
    label,
    code: indent(
      [
        half ? "enable f16;" : "",
        params.length > 0 ? declareUniforms("Params", uniforms) : "",
        declareBindings(table),
        ...code,
        main,
      ].filter((part) => part !== "").join("\n\n"),
    ) + "\n",
    bindings: table,
    uniforms,
    features: half ? ["shader-f16"] : [],
  };
}

function withNeeds(fragment: Fragment): Fragment[] {
  return [...(fragment.needs ?? []).flatMap(withNeeds), fragment];
}

function agree(label: string, name: string, one: string, other: string): void {
  if (one === other) return;
  throw new TypeError(
    `Fragments of ${label} must agree about ${name}: current values are ${one} and ${other}`,
  );
}
