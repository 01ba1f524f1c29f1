-- claim_attachments_folder: remember which folder keeps the large attachments of the namespace, the first time.
--
-- KEYS[1] layout   hash   attachments: id of the folder
-- ARGV[1] folder_id   str
-- RETURNS claimed | other folder_id | missing
-- INVARIANT a namespace keeps its large attachments in one folder.
-- CLOCK not used.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 'missing'
end
if redis.call('HSETNX', KEYS[1], 'attachments', ARGV[1]) == 0 then
  local stored = redis.call('HGET', KEYS[1], 'attachments')
  if stored ~= ARGV[1] then
    return 'other ' .. stored
  end
end
return 'claimed'
