// Points on a canvas by WebGL 2, or by a plain context where there is none. The program is our own: libraries that
// write their shaders' bindings as code while they run are refused by the content policy of the page.
import type { View } from "./view";
import { metres } from "./view";

export interface Scene {
  places: Float32Array;
  codes: Uint8Array;
  palette: Uint8Array;
  /** 0 as usual, 1 chosen, 2 in the background. */
  marks: Uint8Array;
}

export interface Drawing {
  show: (scene: Scene) => void;
  draw: (view: View, width: number, height: number, ratio: number) => void;
  end: () => void;
}

const VERTEX = `#version 300 es
in vec2 place; in float code; in float mark;
uniform vec2 scale, centre; uniform float size; uniform bool front; uniform sampler2D palette;
flat out vec4 look; flat out float faint;
void main() {
  bool chosen = mark == 1.0;
  gl_Position = chosen == front ? vec4((place - centre) * scale, 0.0, 1.0) : vec4(2.0, 2.0, 2.0, 1.0);
  look = texelFetch(palette, ivec2(int(code), 0), 0);
  faint = mark == 2.0 ? 0.16 : 0.9;
  gl_PointSize = size * (chosen ? 1.5 : 1.0) * (code == 255.0 ? 0.75 : 1.0);
}`;
const FRAGMENT = `#version 300 es
precision mediump float;
flat in vec4 look; flat in float faint; out vec4 colour;
void main() {
  vec2 p = gl_PointCoord * 2.0 - 1.0;
  int shape = int(look.a * 255.0 + 0.5);
  vec2 q = abs(p);
  float d = shape == 1 ? max(q.x, q.y) - 0.8
    : shape == 2 ? max(q.x * 0.9 - (p.y + 0.8) * 0.45, p.y - 0.8)
    : shape == 3 ? q.x + q.y - 1.0
    : shape == 4 ? max(min(q.x, q.y) - 0.3, max(q.x, q.y) - 1.0)
    : shape == 5 ? max(min(abs(p.x + p.y), abs(p.x - p.y)) * 0.7 - 0.3, max(q.x, q.y) - 0.9)
    : length(p) - 0.9;
  if (d > 0.0) discard;
  colour = vec4(look.rgb * faint, faint);
}`;

/** The side of a point in pixels of the screen: small where there are many, larger close by. */
export function pointSize(count: number, view: View): number {
  const usual = count > 30000 ? 3 : count > 3000 ? 5 : count > 300 ? 8 : 11;
  return Math.min(usual * Math.max(1, view.zoom) ** 0.35, 22);
}

export function drawingOn(canvas: HTMLCanvasElement): Drawing {
  const gl = canvas.getContext("webgl2", { antialias: true, premultipliedAlpha: true });
  return gl ? byWebGl(gl) : byHand(canvas);
}

function byWebGl(gl: WebGL2RenderingContext): Drawing {
  const program = linked(gl);
  const at = (name: string) => gl.getUniformLocation(program, name);
  const [scale, centre, size, front] = [at("scale"), at("centre"), at("size"), at("front")];
  const buffers = { place: gl.createBuffer(), code: gl.createBuffer(), mark: gl.createBuffer() };
  const texture = gl.createTexture();
  let count = 0;
  gl.useProgram(program);
  gl.enable(gl.BLEND);
  gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  const fill = (name: keyof typeof buffers, values: Float32Array | Uint8Array) => {
    const where = gl.getAttribLocation(program, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, buffers[name]);
    gl.bufferData(gl.ARRAY_BUFFER, values, gl.DYNAMIC_DRAW);
    gl.enableVertexAttribArray(where);
    if (values instanceof Float32Array) gl.vertexAttribPointer(where, 2, gl.FLOAT, false, 0, 0);
    else gl.vertexAttribPointer(where, 1, gl.UNSIGNED_BYTE, false, 0, 0);
  };
  let former: Partial<Scene> = {};
  return {
    show(scene) {
      count = scene.codes.length;
      if (former.places !== scene.places) fill("place", scene.places);
      if (former.codes !== scene.codes) fill("code", scene.codes);
      if (former.marks !== scene.marks) fill("mark", scene.marks);
      if (former.palette !== scene.palette) {
        gl.bindTexture(gl.TEXTURE_2D, texture);
        gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 256, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, scene.palette);
        gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
        gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
      }
      former = scene;
    },
    draw(view, width, height, ratio) {
      gl.viewport(0, 0, width * ratio, height * ratio);
      gl.clearColor(0, 0, 0, 0);
      gl.clear(gl.COLOR_BUFFER_BIT);
      if (!count) return;
      const unit = metres(view, width, height);
      gl.uniform2f(scale, (2 * unit) / width, (2 * unit) / height);
      gl.uniform2f(centre, view.x, view.y);
      gl.uniform1f(size, pointSize(count, view) * ratio);
      for (const isFront of [0, 1]) {
        gl.uniform1i(front, isFront);
        gl.drawArrays(gl.POINTS, 0, count);
      }
    },
    end: () => gl.getExtension("WEBGL_lose_context")?.loseContext(),
  };
}

function linked(gl: WebGL2RenderingContext): WebGLProgram {
  const program = gl.createProgram();
  for (const [kind, source] of [
    [gl.VERTEX_SHADER, VERTEX],
    [gl.FRAGMENT_SHADER, FRAGMENT],
  ] as const) {
    const shader = gl.createShader(kind)!;
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program) ?? "no program");
  return program;
}

function byHand(canvas: HTMLCanvasElement): Drawing {
  const context = canvas.getContext("2d")!;
  let held: Scene | null = null;
  return {
    show: (scene) => void (held = scene),
    draw(view, width, height, ratio) {
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.clearRect(0, 0, width, height);
      if (!held) return;
      const unit = metres(view, width, height);
      const side = pointSize(held.codes.length, view);
      for (let i = 0; i < held.codes.length; i += 1) {
        const code = held.codes[i]! * 4;
        const [red, green, blue] = [held.palette[code], held.palette[code + 1], held.palette[code + 2]];
        context.fillStyle = `rgb(${red} ${green} ${blue} / ${held.marks[i] === 2 ? 16 : 90}%)`;
        const x = width / 2 + (held.places[2 * i]! - view.x) * unit;
        const y = height / 2 - (held.places[2 * i + 1]! - view.y) * unit;
        context.fillRect(x - side / 2, y - side / 2, side, side);
      }
    },
    end: () => undefined,
  };
}
