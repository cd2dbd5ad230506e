// A study as the service tells it, and its pictures in the order in which they are looked at.
import type { Info } from "../../types";
import type { SeriesFrame } from "../../viewer/series";

export interface StudySeries {
  series_instance_uid: string;
  modality: string | null;
  body_part_examined: string | null;
  view_position: string | null;
  laterality: string | null;
  series_description: string | null;
  manufacturer: string | null;
  orientation: string | null;
  instances: number;
  images: number;
}

export interface StudyImage {
  image_id: number;
  series_instance_uid: string;
  sop_instance_uid: string;
  frame: number;
  slice_index: number | null;
  rendering: string;
  warnings: string[];
  quality: Record<string, unknown>;
  labels: Record<string, number>;
}

export interface Study {
  study_instance_uid: string;
  patient_key: string;
  patient_sex: string | null;
  patient_age: number | null;
  study_date: string | null;
  study_description: string | null;
  identity?: Record<string, string>;
  labels: Record<string, number>;
  /** Whether its files are here, or a PACS can give them again. */
  files?: "here" | "gone" | "fetchable";
  /** The PACS connections that it came from. */
  came_from?: string[];
  series: StudySeries[];
  images: StudyImage[];
}

/** One place of a series: its DICOM frame where it can be had, and its image where the model saw it. */
export interface Slice {
  image: StudyImage | null;
  frame: SeriesFrame | null;
}

/** The slices of a series: all its frames, or without DICOM the images of the archive. */
export function slicesOf(study: Study, series: string, frames: readonly SeriesFrame[] | null): Slice[] {
  const images = study.images.filter((one) => one.series_instance_uid === series);
  if (!frames?.length) {
    const rank = (one: StudyImage) => one.slice_index ?? one.frame;
    return images
      .map((image, at) => ({ image, at }))
      .sort((a, b) => rank(a.image) - rank(b.image) || a.at - b.at)
      .map(({ image }) => ({ image, frame: null }));
  }
  const known = new Map(images.map((one) => [`${one.sop_instance_uid} ${one.frame}`, one]));
  return frames.map((frame) => ({ frame, image: known.get(`${frame.sop} ${frame.frame}`) ?? null }));
}

/** Whether a picture may bear a name in its pixels: only one that is known to bear none is shown to everybody. */
export const isWithheld = (image: StudyImage): boolean => image.quality["burned_in"] !== "no";

/** Whether no picture can be drawn from files: of a study that has lost some, the others still may be. */
export const isWithoutFiles = (study: Study, phi: Info["phi"] | undefined): boolean =>
  study.files === "fetchable" || (study.files === "gone" && phi === "strict");

/** Whether a series came as DICOM: a plain picture has no frames to ask for. */
export const isDicom = (images: readonly StudyImage[]): boolean => images.some((one) => one.rendering !== "picture");

/** The picture that stands for a series: that of its middle. */
export function middleOf(study: Study, series: string): StudyImage | null {
  const slices = slicesOf(study, series, null);
  return slices[Math.floor(slices.length / 2)]?.image ?? null;
}

export const describe = (series: StudySeries): string =>
  [series.modality, series.series_description ?? series.body_part_examined, series.view_position, series.laterality]
    .filter(Boolean)
    .join(" · ") || "Series";
