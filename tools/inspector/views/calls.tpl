% from urllib.parse import urlencode
% from records import Disposition
% from routing import Reason
% from tools.history.steps import describe_end
% from tools.history.times import in_minutes as minutes
% rebase("layout.tpl", title="Calls", tab="Calls")
<div class="heading">
<h1>Calls</h1>
% if asked.is_newest:
<p id="status" role="status" aria-live="polite"></p>
% else:
<p><a href="./?{{urlencode(asked.values)}}">Newest calls</a></p>
% end
</div>
<form class="filters" action="./" method="post">
% if "whole" in asked.values:
<input type="hidden" name="whole" value="{{asked.values["whole"]}}">
% end
<label>Number<input name="number" value="{{asked.number}}" placeholder="whole, or last four" autocomplete="off" inputmode="tel"></label>
% for name, label, choices in (("disposition", "Disposition", Disposition), ("reason", "Reason", Reason)):
<label>{{label}}<select name="{{name}}">
<option value="">any</option>
% for choice in choices:
<option value="{{choice}}"\\
% if asked.values.get(name) == choice:
 selected\\
% end
>{{choice}}</option>
% end
</select></label>
% end
<label>Order<input name="external_id" value="{{asked.values.get("external_id", "")}}" placeholder="its external_id" autocomplete="off"></label>
<label>Since<input name="since" value="{{asked.values.get("since", "")}}" placeholder="today, 2h, 2026-11-23" autocomplete="off"></label>
<label>Until<input name="until" value="{{asked.values.get("until", "")}}" placeholder="yesterday, 2026-11-24" autocomplete="off"></label>
<div class="buttons"><button>Filter</button>
% if asked.values:
<a href="./">Clear</a>
% end
</div>
</form>
% for fault in asked.faults:
<p class="fault" role="alert">{{fault}}</p>
% end
% if not asked.faults:
<div id="calls"\\
% if asked.is_newest:
 data-live\\
% end
>
% if calls:
<p class="note" id="sort">{{"Live calls first, then those that began last." if asked.is_newest else "Older calls, those that began last first."}}\\
% if "whole" in asked.values:
 Only those with the number {{asked.number}}, by all the digits that were typed.\\
% end
</p>
<table aria-label="Calls" aria-describedby="sort">
<thead><tr><th scope="col">Began</th><th scope="col">Caller</th><th scope="col">Dialled</th>
<th scope="col" class="wide">Reached</th><th scope="col" class="wide number">Wait</th>
<th scope="col" class="wide number">Talk</th><th scope="col">What became of it</th></tr></thead>
<tbody>
% for call in calls:
% date, time = shown.time(call.began).split(" ")
<tr>
<td><a href="call?{{urlencode({"id": call.reference_id})}}"><span class="date">{{date}}</span> {{time}}</a></td>
<td>{{shown.number(call.caller)}}</td>
<td>{{shown.number(call.dialled)}}</td>
<td class="wide">{{shown.number(call.destination)}}</td>
<td class="wide number">{{minutes(call.wait_s)}}</td>
<td class="wide number">{{minutes(call.talk_s)}}</td>
<td><span class="outcome {{call.disposition.replace(" ", "-")}}">{{describe_end(call, shown.view)}}</span>
% if call.is_simulated:
<span class="simulated">simulated</span>
% end
% if call.external_id:
<small>{{call.external_id}}</small>
% end
</td>
</tr>
% end
</tbody>
</table>
% elif no_log:
<p class="none">{{shown.sentence(no_log)}}</p>
% elif asked.values or not asked.is_newest:
<p class="none">{{"No call passes the filters." if asked.is_newest else "No older call passes the filters." if asked.values else "There is no older call."}}</p>
% else:
<p class="none">There are no calls yet. To make two, run <code>make call</code> while the server runs.</p>
% end
% if older:
<p class="more"><a href="./?{{urlencode(asked.values | {"before": older})}}">Older calls</a></p>
% end
</div>
% end
