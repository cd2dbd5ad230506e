// A stack of slices on an element: which one is shown, its window, pan and zoom.
import { Enums, metaData, RenderingEngine, utilities, type StackViewport } from "@cornerstonejs/core";
import { wadors } from "@cornerstonejs/dicom-image-loader/imageLoader";
import { begin, frames, kept, SCHEME } from "./engine";
import type { SeriesFrame } from "./series";

const VIEWPORT = "stack";
/** Slices to either side that are fetched ahead. */
const RING = 8;

export interface Shown {
  index: number;
  center: number;
  width: number;
  /** Least and most value of the slice, in the modality's units. */
  least: number;
  most: number;
  colour: boolean;
  zoom: number;
}

interface Plane {
  imagePositionPatient: number[];
  /** Direction of a row, and of a column. */
  rowCosines: number[];
  columnCosines: number[];
  columnPixelSpacing: number | null;
  rowPixelSpacing: number | null;
  usingDefaultValues?: boolean;
}

const along = (a: number[], b: number[]): number => a.reduce((sum, one, axis) => sum + one * b[axis]!, 0);

export class Stack {
  private readonly engine: RenderingEngine;
  private readonly viewport: StackViewport;
  private readonly sizes: ResizeObserver;
  private ids: string[] = [];
  private places = new Map<string, number>();
  private index = 0;
  private asked = 0;
  private ended = false;

  constructor(
    private readonly element: HTMLDivElement,
    private readonly heard: (shown: Shown) => void,
  ) {
    begin();
    this.engine = new RenderingEngine("viewer");
    this.engine.enableElement({
      viewportId: VIEWPORT,
      type: Enums.ViewportType.STACK,
      element,
      defaultOptions: { background: [0, 0, 0] },
    });
    this.viewport = this.engine.getViewport(VIEWPORT) as StackViewport;
    this.sizes = new ResizeObserver(() => this.ended || this.engine.resize(true, true));
    this.sizes.observe(element);
  }

  /** Show the frames, from one of them on. Throws `Problem` where that one cannot be had. */
  async open(series: readonly SeriesFrame[], index: number): Promise<void> {
    this.ids = series.map((one) => SCHEME + one.url);
    series.forEach((one, at) => {
      if (one.frame !== 0) return;
      wadors.metaDataManager.add(this.ids[at]!, one.attributes as never);
      // Further frames are looked up by the address of the first, without a query.
      wadors.metaDataManager.add(this.ids[at]!.replace(/\?.*$/, ""), one.attributes as never);
    });
    this.places = new Map(series.map((one, at) => [one.url, at]));
    this.aim(index);
    if (!(await this.loaded(index))) return;
    await this.viewport.setStack(this.ids, index);
    this.drawn();
    this.fetchAround();
  }

  /** Show another slice. Throws `Problem` where it cannot be had. */
  async go(index: number): Promise<void> {
    this.aim(index);
    if (!(await this.loaded(index))) return;
    await this.viewport.setImageIdIndex(index);
    this.drawn();
    this.fetchAround();
  }

  window(center: number, width: number): void {
    const { lower, upper } = utilities.windowLevel.toLowHighRange(Math.max(width, 1), center);
    this.viewport.setProperties({ voiRange: { lower, upper } });
    this.drawn();
  }

  invert(): void {
    this.viewport.setProperties({ invert: !this.viewport.getProperties().invert });
    this.drawn();
  }

  reset(): void {
    this.viewport.resetProperties();
    this.viewport.resetCamera();
    this.drawn();
  }

  zoomBy(factor: number): void {
    this.viewport.setZoom(Math.min(40, Math.max(0.2, this.viewport.getZoom() * factor)));
    this.drawn();
  }

  panBy(x: number, y: number): void {
    const [a, b] = this.viewport.getPan();
    this.viewport.setPan([a + x, b + y]);
    this.drawn();
  }

  /** The stored value below a point of the element, in the modality's units; null beside the picture. */
  valueAt(x: number, y: number): { column: number; row: number; value: number } | null {
    const image = this.viewport.getCornerstoneImage();
    if (!image || image.color) return null;
    const plane = metaData.get("imagePlaneModule", image.imageId) as Plane | undefined;
    if (!plane) return null;
    const world = this.viewport.canvasToWorld([x, y]);
    const from = world.map((one, axis) => one - plane.imagePositionPatient[axis]!);
    // PS3.3 section C.7.6.2.1.1: the position is the middle of the first pixel.
    const column = Math.round(along(from, plane.rowCosines) / (plane.columnPixelSpacing || 1));
    const row = Math.round(along(from, plane.columnCosines) / (plane.rowPixelSpacing || 1));
    if (column < 0 || row < 0 || column >= image.columns || row >= image.rows) return null;
    return { column, row, value: image.getPixelData()[row * image.columns + column]! };
  }

  /** A place of the patient below a point of the element, in mm (pixels where the file has no spacing). */
  worldAt(x: number, y: number): [number, number, number] {
    return this.viewport.canvasToWorld([x, y]) as [number, number, number];
  }

  pointOf(world: [number, number, number]): [number, number] {
    return this.viewport.worldToCanvas(world) as [number, number];
  }

  /** Whether lengths are in mm: the file says how large a pixel is. */
  hasSpacing(): boolean {
    const plane = metaData.get("imagePlaneModule", this.ids[this.index] ?? "") as Plane | undefined;
    return Boolean(plane?.columnPixelSpacing && !plane.usingDefaultValues);
  }

  level(): { center: number; width: number } {
    const range = this.viewport.getProperties().voiRange;
    return range ? { center: (range.lower + range.upper) / 2, width: range.upper - range.lower } : { center: 0, width: 1 };
  }

  end(): void {
    this.ended = true;
    this.sizes.disconnect();
    frames.aim(() => 0, -1);
    this.engine.destroy();
    for (const id of this.ids) wadors.metaDataManager.remove(id);
  }

  // Loaded before it is shown, as the viewport itself would tell of a failure by an event alone; false where
  // another slice was asked for meanwhile.
  private async loaded(index: number): Promise<boolean> {
    const turn = (this.asked += 1);
    const late = () => this.ended || turn !== this.asked;
    try {
      await kept(this.ids[index]!);
    } catch (error) {
      if (!late()) throw error;
    }
    return !late();
  }

  private aim(index: number): void {
    this.index = index;
    frames.aim((url) => Math.abs((this.places.get(url) ?? Infinity) - this.index), RING);
  }

  private fetchAround(): void {
    for (let far = 1; far <= RING; far += 1) {
      for (const at of [this.index + far, this.index - far]) {
        const id = this.ids[at];
        if (id) kept(id).catch(() => undefined); // told when it is shown
      }
    }
  }

  private drawn(): void {
    this.viewport.render();
    const image = this.viewport.getCornerstoneImage();
    const range = this.viewport.getProperties().voiRange;
    const { windowCenter, windowWidth } = range
      ? utilities.windowLevel.toWindowLevel(range.lower, range.upper)
      : { windowCenter: 0, windowWidth: 0 };
    this.element.dataset.slice = String(this.index);
    this.heard({
      index: this.index,
      center: windowCenter,
      width: windowWidth,
      least: image?.minPixelValue ?? 0,
      most: image?.maxPixelValue ?? 1,
      colour: image?.color ?? false,
      zoom: this.viewport.getZoom(),
    });
  }
}
