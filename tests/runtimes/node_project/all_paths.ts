// Every entry point, and all declarations that they reach.
export * as root from "@quire/attention";
export * as cache from "@quire/attention/cache";
export * as engine from "@quire/attention/engine";
export * as gpu from "@quire/attention/gpu";
export * as kernels from "@quire/attention/kernels";
export * as kv from "@quire/attention/kv";
export * as lint from "@quire/attention/lint";
export * as model from "@quire/attention/model";
export * as mods from "@quire/attention/mods";
export * as ops from "@quire/attention/ops";
export * as planning from "@quire/attention/planning";
export * as policies from "@quire/attention/policies";
export * as reference from "@quire/attention/reference";
