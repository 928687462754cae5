% from urllib.parse import urlencode
% from tools.commands.calls import became
% from tools.history.times import in_minutes as minutes
% from tools.history.simulated import is_simulated
% if calls:
<table aria-label="Calls, the last active first">
<thead><tr><th scope="col">Time</th><th scope="col">Caller</th><th scope="col">Dialled</th>
<th scope="col" class="wide">Reached</th><th scope="col" class="wide number">Wait</th>
<th scope="col" class="wide number">Talk</th><th scope="col">What became of it</th></tr></thead>
<tbody>
% for call in calls:
% date, time = shown.time(call.created).split(" ")
<tr>
<td><a href="call?{{urlencode({"id": call.reference_id})}}"><span class="date">{{date}}</span> {{time}}</a></td>
<td>{{shown.number(call.caller)}}</td>
<td>{{shown.number(call.dialled)}}</td>
<td class="wide">{{shown.number(call.destination)}}</td>
<td class="wide number">{{minutes(call.wait_s)}}</td>
<td class="wide number">{{minutes(call.talk_s)}}</td>
<td><span class="outcome {{call.disposition.replace(" ", "-")}}">{{became(call, shown.view)}}</span>
% if is_simulated(call.reference_id):
<span class="simulated">simulated</span>
% end
</td>
</tr>
% end
</tbody>
</table>
% elif no_log:
<p class="none">There are no calls yet. To make some, start the server with <code>make run</code> in one
window and play two calls with <code>make call</code> in another.<br>{{shown.sentence(no_log)}}.</p>
% elif asked.values or not is_newest:
<p class="none">{{"No call passes the filters in the part of the log that was looked at." if older else "No older call passes the filters." if not is_newest else "No call passes the filters."}}</p>
% else:
<p class="none">There are no calls yet. To make two, run <code>make call</code> while the server runs.</p>
% end
% if older:
<p class="more"><a href="./?{{urlencode(asked.values | {"before": older})}}">Older calls</a></p>
% end
