// Probes, prompt sets and calibrations as the service answers them, as far as this page shows them.

export type Interval = [number | null, number | null] | null;

export interface LabelFigures {
  label: string;
  n: number;
  positive: number;
  unknown?: number | null;
  auroc: number | null;
  auroc_ci: Interval;
  auprc?: number | null;
  auprc_ci?: Interval;
  sensitivity?: number | null;
  sensitivity_ci?: Interval;
  specificity?: number | null;
  specificity_ci?: Interval;
  calibration_error?: number | null;
  calibration_error_ci?: Interval;
  caution?: string | null;
  reason?: string | null;
  calibrated?: boolean;
}

export interface OperatingPoint {
  rule: "youden" | "sensitivity" | "specificity";
  target: number | null;
  threshold: number;
  sensitivity: number | null;
  sensitivity_ci: Interval;
  specificity: number | null;
  specificity_ci: Interval;
}

export interface Subgroup {
  attribute: string;
  value: string;
  n: number;
  positive: number;
  groups: number;
  auroc: number | null;
  auroc_ci: Interval;
  predicted: number | null;
  observed: number | null;
  difference?: number | null;
  p_value?: number | null;
  warning?: string | null;
}

export interface ProbeLabel extends LabelFigures {
  suspects?: number | null;
  operating_points?: OperatingPoint[];
  subgroups?: Subgroup[];
  learning_curve?: { groups: number; draws: number; auroc: number | null; lowest: number | null; highest: number | null }[];
}

export interface Probe {
  name: string;
  version: number | null;
  space: string;
  level: string;
  groups: number;
  folds: number | null;
  labels: ProbeLabel[];
  macro_auroc: number | null;
  warnings: string[];
  where?: string[];
  predictions?: number;
  exclusive?: boolean;
  pooling?: string;
  split?: string | null;
  trained_at?: string | null;
  population?: {
    patients: number;
    studies: number;
    cases: number;
    patient_sex: Record<string, number>;
    age: Record<string, number>;
    manufacturer: Record<string, number>;
    site: Record<string, number>;
    study_dates: [string, string] | null;
  } | null;
}

export interface ProbeSummary {
  name: string;
  version: number | null;
  space: string;
  level: string | null;
  groups: number | null;
  labels: string[];
  macro_auroc: number | null;
  warnings?: string[];
}

export interface ScoreCounts {
  positive: number[];
  negative: number[];
}

export interface LabelCurves {
  label: string;
  roc: [number, number][];
  precision_recall: [number, number][];
  reliability: { n: number; predicted: number; observed: number; observed_ci: [number, number] }[];
  counts: ScoreCounts | null;
  subgroups: { attribute: string; value: string; counts: ScoreCounts }[];
}

export interface Curves {
  labels: LabelCurves[];
}

export interface PromptSet {
  name: string;
  kind: string;
  exclusive: boolean;
  source: string;
  labels: string[];
  modalities: string[];
  regions: string[];
  population: string;
}

export interface LabelCalibration {
  label: string;
  version: number;
  method: string;
  n: number;
  positive?: number | null;
  patients: number;
  error_before?: number | null;
  error_before_ci?: Interval;
  error_after?: number | null;
  error_after_ci?: Interval;
  reliability?: { low: number; high: number; n: number; patients: number; predicted: number; observed: number; ci: [number, number] }[];
  error: number;
  covered?: { of: string; n: number; share: number; ci: [number, number] }[];
  present?: number | null;
  absent?: number | null;
  undecided?: number | null;
  created_at?: string | null;
  reason?: string | null;
}

export interface Calibration {
  subject: string;
  space: string;
  level: string;
  labels: LabelCalibration[];
  outdated?: boolean | null;
  active?: boolean | null;
  warnings?: string[];
}

const ATTRIBUTES: Record<string, string> = { patient_sex: "Sex", age: "Age", manufacturer: "Manufacturer", site: "Site" };
export const attribute = (name: string): string => ATTRIBUTES[name] ?? name;
