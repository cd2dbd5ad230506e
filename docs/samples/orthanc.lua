-- Orthanc tells the archive of each study that is stable; the archive then brings it in from this Orthanc.
--
-- In orthanc.json:
--   "LuaScripts" : [ "/etc/orthanc/orthanc.lua" ],
--   "StableAge" : 60
-- The key needs the scope write alone. What is not told, as while the archive is away, the next sync brings.

local ADDRESS = os.getenv("MEDSIGLIP_ADDRESS") or "http://127.0.0.1:8000"
-- What the archive calls this Orthanc: `medsiglip pacs add main --url http://127.0.0.1:8042/dicom-web`.
local PACS = os.getenv("MEDSIGLIP_PACS") or "main"
local KEY_FILE = os.getenv("MEDSIGLIP_KEY_FILE") or "/etc/orthanc/medsiglip.key"

local function key()
  local file = io.open(KEY_FILE, "r")
  if file == nil then
    return nil
  end
  local text = file:read("*a"):gsub("%s+", "")
  file:close()
  return text
end

-- It may come more than once for a study: the archive makes one job of what comes while that job waits.
function OnStableStudy(_, tags, _)
  local secret, uid = key(), tags["StudyInstanceUID"]
  if secret == nil then
    print("the archive was not told of a study: there is no " .. KEY_FILE)
  elseif uid ~= nil and uid:match("^[0-9.]+$") then
    local answer = HttpPost(ADDRESS .. "/v1/pacs/" .. PACS .. "/studies/" .. uid, "", {
      ["Authorization"] = "Bearer " .. secret
    })
    if answer == nil then
      print("the archive was not told of study " .. uid .. ": the next sync brings it in")
    end
  end
end
