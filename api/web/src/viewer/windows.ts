// Grey-level windows that number keys choose.

export interface Window {
  name: string;
  center: number;
  width: number;
}

// Usual windows of CT in HU (Radiopaedia, "Windowing (CT)").
const CT: readonly Window[] = [
  { name: "Lung", center: -600, width: 1500 },
  { name: "Soft tissue", center: 40, width: 400 },
  { name: "Bone", center: 400, width: 1800 },
  { name: "Brain", center: 40, width: 80 },
  { name: "Mediastinum", center: 50, width: 350 },
  { name: "Liver", center: 30, width: 150 },
  { name: "Subdural", center: 75, width: 215 },
  { name: "Angiography", center: 300, width: 600 },
];

/** The windows of a modality: for CT in HU; for others shares of the values that the image spans. */
export function windowsOf(modality: string | null, least: number, most: number): readonly Window[] {
  if (modality === "CT") return CT;
  const span = Math.max(most - least, 1);
  const share = (name: string, from: number, to: number): Window => ({
    name,
    center: least + (span * (from + to)) / 2,
    width: Math.max(span * (to - from), 1),
  });
  return [share("Full range", 0, 1), share("Dark half", 0, 0.5), share("Bright half", 0.5, 1), share("Middle", 0.25, 0.75)];
}
