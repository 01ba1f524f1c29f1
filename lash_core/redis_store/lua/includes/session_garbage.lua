-- Blobs of one session that nothing names any more.
-- sweep_blobs(blobs, family, texts): how many stay and how many went; texts are those that name blobs.
local function sweep_blobs(blobs, family, texts)
  local retained, deleted = 0, 0
  for _, digest in ipairs(redis.call('HKEYS', blobs)) do
    if string.find(texts, family .. digest, 1, true) then
      retained = retained + 1
    else
      deleted = deleted + redis.call('HDEL', blobs, digest)
    end
  end
  return retained, deleted
end
