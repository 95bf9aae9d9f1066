/**
 * The workers' script. Each question comes with the
 * port that its answer goes to. Typed code runs in
 * a worker of its own, which is ended with its answer; another keeps the device.
 *
 * @module
 */

import { type Gpu, openGpu } from "../../src/gpu/mod.ts";
import { analyse } from "./analysis.ts";
import { checkAttention } from "./attention_check.ts";
import { evaluateMods, mistakeOf } from "./evaluation.ts";
import type { Answer, Question, Reply } from "./requests.ts";
import { thumbnail } from "./thumbnail.ts";

let opened: Promise<Gpu> | undefined;

/** The device, opened when first asked for; again after a failure. */
async function device(): Promise<Gpu> {
  opened ??= openGpu();
  try {
    const gpu = await opened;
    gpu.check();
    return gpu;
  } catch (error) {
    opened = undefined;
    throw error;
  }
}

async function answer(question: Question): Promise<Answer> {
  if (question.kind === "thumbnails") return question.pictures.map(thumbnail);
  const { settings } = question;
  if (question.kind === "run") {
    return await checkAttention(await device(), question.mods, settings);
  }
  return analyse(evaluateMods(question.code, settings), settings);
}

addEventListener("message", async (event: MessageEvent<Question>) => {
  const { data, ports: [port] } = event;
  let reply: Reply;
  try {
    reply = { answer: await answer(data) };
  } catch (error) {
    reply = { mistake: mistakeOf(error) };
  }
  port.postMessage(reply);
});
