declare module "viewer:decoder" {
  /** The name of the file of the worker that decodes frames, beside the built scripts. */
  const name: string;
  export default name;
}
