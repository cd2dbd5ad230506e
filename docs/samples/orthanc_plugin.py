"""A script of Orthanc's Python plugin: tells the archive of each stable study, and adds the button "Similar
cases" to studies in Orthanc Explorer.

In orthanc.json:
    "Plugins" : [ "/usr/share/orthanc/plugins" ],
    "PythonScript" : "/etc/orthanc/orthanc_plugin.py",
    "StableAge" : 60

This file cannot be called orthanc.py, as the module of the plugin is. The key needs the scope write alone;
it is read from its file and never leaves this machine but for the archive. What could not be told within
some minutes, the next sync brings in.
"""

import json
import os
import queue
import re
import threading
import time
import urllib.error
import urllib.request

import orthanc

ADDRESS = os.environ.get("MEDSIGLIP_ADDRESS", "http://127.0.0.1:8000")
# Where browsers reach the screen, if that is another address.
SCREEN = os.environ.get("MEDSIGLIP_SCREEN", ADDRESS)
# What the archive calls this Orthanc: `medsiglip pacs add main --url http://127.0.0.1:8042/dicom-web`.
PACS = os.environ.get("MEDSIGLIP_PACS", "main")
KEY_FILE = os.environ.get("MEDSIGLIP_KEY_FILE", "/etc/orthanc/medsiglip.key")
WAITS_S = (0, 5, 30, 120)

# Callbacks must not wait for others, so a thread tells the archive.
_waiting = queue.Queue(maxsize=10_000)


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """urllib would take the key along to wherever a redirect leads."""

    def redirect_request(self, *_):
        """Follow none: it is an error like any other."""


_archive = urllib.request.build_opener(NoRedirects, urllib.request.ProxyHandler({}))


def on_change(change, level, resource):
    """Note a study that has not changed for a while; it may come more than once."""
    if change == orthanc.ChangeType.STABLE_STUDY:
        try:
            _waiting.put_nowait(resource)
        except queue.Full:
            orthanc.LogWarning("too many studies wait for the archive: the next sync brings this one in")


def tell_for_ever():
    """Tell the archive of one study after the other."""
    while True:
        resource = _waiting.get()
        try:
            study = json.loads(orthanc.RestApiGet(f"/studies/{resource}"))
            uid = study["MainDicomTags"].get("StudyInstanceUID", "")
            if re.fullmatch("[0-9.]{1,64}", uid):
                tell(uid)
        except Exception as error:
            orthanc.LogWarning(f"the archive was not told of a study ({type(error).__name__})")


def tell(uid):
    """Ask the archive to bring in a study, again while it is away."""
    for seconds in WAITS_S:
        time.sleep(seconds)
        try:
            with open(KEY_FILE, encoding="ascii") as file:
                headers = {"Authorization": f"Bearer {file.read().strip()}"}
            address = f"{ADDRESS}/v1/pacs/{PACS}/studies/{uid}"
            asked = urllib.request.Request(address, b"", headers, method="POST")
            with _archive.open(asked, timeout=30):
                return
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code != 429:
                break
        except OSError:
            pass
    orthanc.LogWarning(f"the archive was not told of study {uid}: the next sync brings it in")


BUTTON = """
$('#study').live('pagebeforecreate', function () {
  var button = $('<a>').attr({href: '#', id: 'similar-cases', 'data-role': 'button', 'data-icon': 'search'});
  button.text('Similar cases').insertBefore($('#study-delete').parent().parent());
  button.click(function () {
    // Opened before the answer: a browser lets a click open a page, and nothing later.
    var page = window.open('about:blank');
    $.getJSON('../studies/' + $.mobile.pageData.uuid, function (study) {
      var uid = study.MainDicomTags.StudyInstanceUID;
      page.opener = null;
      page.location = SCREEN + '/app/search?study=' + encodeURIComponent(uid);
    });
    return false;
  });
});
""".replace("SCREEN", json.dumps(SCREEN).replace("</", "<\\/"))

orthanc.RegisterOnChangeCallback(on_change)
orthanc.ExtendOrthancExplorer(BUTTON)
threading.Thread(target=tell_for_ever, daemon=True).start()
