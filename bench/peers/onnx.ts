/**
 * Writes ONNX models of a single node: the protobuf wire format, and of ONNX's
 * schema (`onnx.proto`) the few fields that such a model needs.
 *
 * @module
 */

/** A tensor's name, element type and shape. */
export interface ValueInfo {
  /** Its name in the graph. */
  readonly name: string;
  /** A key of {@linkcode ELEMENT_TYPES}. */
  readonly type: keyof typeof ELEMENT_TYPES;
  /** Its dimensions. */
  readonly dims: readonly number[];
}

/** A model of one node. */
export interface SingleNodeModel {
  /** The operator of the `com.microsoft` domain. */
  readonly operator: string;
  /** Its inputs in order; `undefined` for an optional one left out. */
  readonly inputs: readonly (ValueInfo | undefined)[];
  /** Its outputs in order. */
  readonly outputs: readonly ValueInfo[];
  /** Its integer attributes. */
  readonly attributes: Readonly<Record<string, number>>;
}

/** `TensorProto.DataType`. */
export const ELEMENT_TYPES = { float32: 1, int32: 6, float16: 10 } as const;

const DOMAIN = "com.microsoft";
const IR_VERSION = 10;
const OPSET = 21;
/** `AttributeProto.AttributeType.INT`. */
const INT_ATTRIBUTE = 2;

/** A protobuf message under construction. */
class Message {
  readonly #bytes: number[] = [];

  /** A varint field. */
  int(field: number, value: number): this {
    return this.#varint(field << 3).#varint(value);
  }

  /** A length-delimited field: a string or a nested message. */
  add(field: number, content: string | Message): this {
    const bytes = typeof content === "string"
      ? new TextEncoder().encode(content)
      : content.#bytes;
    this.#varint(field << 3 | 2).#varint(bytes.length);
    for (const byte of bytes) this.#bytes.push(byte);
    return this;
  }

  /** A repeated length-delimited field. */
  all(field: number, contents: readonly (string | Message)[]): this {
    for (const content of contents) this.add(field, content);
    return this;
  }

  finish(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }

  #varint(value: number): this {
    while (value > 127) {
      this.#bytes.push(value % 128 | 128);
      value = Math.floor(value / 128);
    }
    this.#bytes.push(value);
    return this;
  }
}

function valueInfo({ name, type, dims }: ValueInfo): Message {
  const shape = new Message()
    .all(1, dims.map((dim) => new Message().int(1, dim)));
  const tensor = new Message().int(1, ELEMENT_TYPES[type]).add(2, shape);
  return new Message().add(1, name).add(2, new Message().add(1, tensor));
}

function attribute([name, value]: [string, number]): Message {
  return new Message().add(1, name).int(3, value).int(20, INT_ATTRIBUTE);
}

function opset(domain: string, version: number): Message {
  return new Message().add(1, domain).int(2, version);
}

/** The bytes of a model. */
export function onnxModel(model: SingleNodeModel): Uint8Array {
  const given = model.inputs.filter((input) => input !== undefined);
  const node = new Message()
    .all(1, model.inputs.map((input) => input?.name ?? ""))
    .all(2, model.outputs.map(({ name }) => name))
    .add(3, model.operator)
    .add(4, model.operator)
    .all(5, Object.entries(model.attributes).map(attribute))
    .add(7, DOMAIN);
  const graph = new Message()
    .add(1, node)
    .add(2, "attention")
    .all(11, given.map(valueInfo))
    .all(12, model.outputs.map(valueInfo));
  return new Message()
    .int(1, IR_VERSION)
    .add(7, graph)
    .all(8, [opset("", OPSET), opset(DOMAIN, 1)])
    .finish();
}
