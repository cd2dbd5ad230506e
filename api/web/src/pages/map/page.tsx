import type { PageProps } from "../../shell/pages";

export default function Page({ place }: PageProps) {
  return <h1>{place.page}</h1>;
}
