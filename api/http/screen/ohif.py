"""`/ohif/`: the viewer that `medsiglip viewer add` has put into the home, with a configuration of ours.

Its files hold no patient data and need no key; what it shows it asks of `/dicom-web`, in the name of who
signed in.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from fastapi import Path as PathParameter
from fastapi.responses import RedirectResponse

from medsiglip.api.archive.viewers.installed import folder_of
from medsiglip.api.archive.viewers.ohif_package import NAME
from medsiglip.api.errors import ServiceError
from medsiglip.api.http.messages.answers import accepts_gzip
from medsiglip.api.http.screen.files import CompressedFiles

POLICY = (
    "default-src 'none'; connect-src 'self' blob: data:; img-src 'self' blob: data:; "
    "script-src 'self' 'wasm-unsafe-eval' blob:; worker-src 'self' blob:; style-src 'self' 'unsafe-inline'; "
    "font-src 'self' data:; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy of the viewer: it puts styles into its page, and makes workers of what it holds."""
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".wasm": "application/wasm",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".xml": "text/xml; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".onnx": "application/octet-stream",
    ".ttf": "font/ttf",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}
_LEAST_BYTES = 1024
_ASK_AGAIN = "no-cache"
CONFIGURATION = """window.config = {
  name: "medsiglip",
  routerBasename: "/ohif",
  extensions: [],
  modes: [],
  customizationService: [{ "ohif.tours": { $set: [] } }],
  showStudyList: true,
  showLoadingIndicator: true,
  showWarningMessageForCrossOrigin: false,
  showCPUFallbackMessage: true,
  strictZSpacingForVolumeViewport: true,
  investigationalUseDialog: { option: "always" },
  maxNumberOfWebWorkers: 3,
  maxNumRequests: { interaction: 20, thumbnail: 4, prefetch: 4 },
  whiteLabeling: {
    createLogoComponentFn: function (React) {
      const go = function (event) {
        event.preventDefault();
        const studies = new URLSearchParams(window.location.search).get("StudyInstanceUIDs") || "";
        const study = studies.split(",")[0];
        window.location.assign(study ? "/app/search?study=" + encodeURIComponent(study) : "/app/cases");
      };
      return React.createElement(
        "a",
        {
          href: "/app/search",
          onClick: go,
          title: "Similar cases of this study",
          style: { color: "#7bb2ff", fontSize: "14px", padding: "6px", textDecoration: "underline" },
        },
        "Similar cases"
      );
    },
  },
  defaultDataSourceName: "medsiglip",
  dataSources: [
    {
      namespace: "@ohif/extension-default.dataSourcesModule.dicomweb",
      sourceName: "medsiglip",
      configuration: {
        friendlyName: "medsiglip",
        name: "medsiglip",
        wadoUriRoot: "/dicom-web",
        qidoRoot: "/dicom-web",
        wadoRoot: "/dicom-web",
        qidoSupportsIncludeField: true,
        supportsReject: false,
        supportsStow: false,
        imageRendering: "wadors",
        thumbnailRendering: "thumbnail",
        enableStudyLazyLoad: true,
        supportsFuzzyMatching: false,
        supportsWildcard: true,
        staticWado: false,
        singlepart: "bulkdata",
        bulkDataURI: { enabled: true },
        omitQuotationForMultipartRequest: true,
      },
    },
  ],
};
"""
router = APIRouter(include_in_schema=False)
_compressed = CompressedFiles()


@router.get("/ohif")
def without_slash() -> Response:
    """The list of studies has a slash at its end."""
    return RedirectResponse("ohif/", 302)


@router.get("/ohif/{address:path}")
def viewer(
    request: Request,
    address: Annotated[str, PathParameter(max_length=1024)],
    accept_encoding: Annotated[str, Header(max_length=1024)] = "",
    range_: Annotated[str | None, Header(alias="range")] = None,
) -> Response:
    """A file of the viewer, or its page, which shows what its address says.

    Raises ServiceError `no-viewer` where none was added, and `not-found`.
    """
    folder = folder_of(request.app.state.server.archive.home)
    headers = {"Cache-Control": _ASK_AGAIN, "Content-Security-Policy": POLICY, "Vary": "Accept-Encoding"}
    # Volumes are shared between the page and its workers (html.spec.whatwg.org, cross-origin isolation).
    headers |= {"Cross-Origin-Embedder-Policy": "require-corp"}
    if address == "app-config.js":
        return Response(CONFIGURATION, media_type=_TYPES[".js"], headers=headers)
    name = address.rpartition("/")[2]
    is_page = "." not in name
    file = folder / "index.html" if is_page else folder.joinpath(*address.split("/"))
    if not (folder / "index.html").is_file():
        raise ServiceError(
            "no-viewer", "no viewer was added to this archive: `medsiglip viewer add` adds OHIF."
        )
    kind = _TYPES.get(file.suffix)
    # Before the file system sees them: it takes neither a NUL nor very long names.
    is_named = is_page or all(map(NAME.fullmatch, address.split("/")))
    is_within = is_named and file.resolve().is_relative_to(folder.resolve())
    if kind is None or not is_within or not file.is_file():
        raise ServiceError("not-found", "the viewer has no such file: load its page anew.")
    content = file.read_bytes()
    if len(content) >= _LEAST_BYTES and range_ is None and accepts_gzip(accept_encoding):
        content = _compressed.of(file, content)
        headers["Content-Encoding"] = "gzip"
    return Response(content, media_type=kind, headers=headers)
