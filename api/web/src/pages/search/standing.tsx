// Where a score stands: among the best hits of comparable questions, and above what the archive scores at large.
import { figure, percent } from "../../format";

export interface Background {
  mean: number;
  standard_deviation: number;
  count: number;
  comparable_questions?: number | null;
}

export function Standing({ score, percentile, background }: { score: number; percentile?: number | null; background: Background | null }) {
  const above = background && background.standard_deviation > 0 ? (score - background.mean) / background.standard_deviation : null;
  return (
    <div class="standing">
      {background && <Strip score={score} background={background} above={above} />}
      <span>
        {figure(score)}
        {percentile != null ? (
          <span title={`The share of the best hits of ${background?.comparable_questions ?? "comparable"} comparable questions that do not score more`}>
            , better than {percent(percentile)}
          </span>
        ) : (
          above !== null && <span title="standard deviations above the mean of the archive for this question">, {figure(above, 1)} sd above</span>
        )}
      </span>
    </div>
  );
}

// The archive's scores as a band of two standard deviations around their mean, and the hit as a mark.
function Strip({ score, background, above }: { score: number; background: Background; above: number | null }) {
  const { mean, standard_deviation: sd } = background;
  const least = mean - 3 * sd;
  const most = Math.max(1, mean + 3 * sd);
  const at = (x: number) => Math.min(100, Math.max(0, (100 * (x - least)) / (most - least || 1)));
  const said = `score ${figure(score)}; the archive's scores: mean ${figure(mean)}, standard deviation ${figure(sd)}${above === null ? "" : `, ${figure(above, 1)} above`}`;
  return (
    <svg class="standing-strip" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label={said}>
      <rect class="standing-band" x={at(mean - 2 * sd)} y={2} width={at(mean + 2 * sd) - at(mean - 2 * sd)} height={4} />
      <rect class="standing-mean" x={at(mean) - 0.4} y={1} width={0.8} height={6} />
      <rect class="standing-hit" x={at(score) - 1} y={0} width={2} height={8} />
    </svg>
  );
}
