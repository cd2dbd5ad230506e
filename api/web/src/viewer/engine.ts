// cornerstone3D, set up once: its drawing, the worker that decodes, and frames by our own queue.
import { cache, Enums, getWebWorkerManager, imageLoader, init, registerImageLoader } from "@cornerstonejs/core";
import { createImage, wadors } from "@cornerstonejs/dicom-image-loader/imageLoader";
import decoder from "viewer:decoder";
import { FrameQueue } from "./frames";

export const SCHEME = "wadors:";
const MOST_BYTES = 512 * 2 ** 20;

export const frames = new FrameQueue();
let ready = false;

/** Begin; more calls do nothing. Where there is no WebGL the processor draws. */
export function begin(): void {
  if (ready) return;
  ready = true;
  init({ rendering: { webGlContextCount: 1, renderingEngineMode: Enums.RenderingEngineModeEnum.ContextPool } } as never);
  cache.setMaxCacheSize(MOST_BYTES);
  const workers = Math.max(1, Math.min(2, Math.floor((navigator.hardwareConcurrency || 2) / 2)));
  getWebWorkerManager().registerWorker(
    "dicomImageLoader",
    () => new Worker(new URL(decoder, import.meta.url), { type: "module", name: "decoder" }),
    { maxWorkerInstances: workers },
  );
  wadors.register({});
  registerImageLoader(SCHEME.slice(0, -1), load as never);
}

/** Load an image and keep it, as `imageLoader.loadAndCacheImage` does, which leaves a failure to keep it unhandled: each
 * frame that is dropped on its way would be an error of the page. */
export function kept(imageId: string): Promise<unknown> {
  const held = cache.getImageLoadObject(imageId);
  if (held) return held.promise;
  const promise = imageLoader.loadImage(imageId);
  cache.putImageLoadObject(imageId, { promise }).catch(() => undefined);
  return promise;
}

function load(imageId: string, options: Record<string, unknown> = {}) {
  return { promise: loaded(imageId, options), cancelFn: undefined };
}

async function loaded(imageId: string, options: Record<string, unknown>) {
  const { bytes, syntax } = await frames.load(imageId.slice(SCHEME.length));
  return createImage(imageId, bytes as never, syntax, { ...options, useRGBA: false } as never);
}
