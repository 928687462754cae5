% from urllib.parse import urlencode
% from records import Disposition
% from routing import Reason
% rebase("layout.tpl", title="Calls", tab="Calls")
<div class="heading">
<h1>Calls</h1>
% if is_newest:
<p id="status" role="status" aria-live="polite"></p>
% else:
<p><a href="./?{{urlencode(asked.values)}}">Newest calls</a></p>
% end
</div>
<form class="filters" action="./" method="get">
<label>Number<input name="number" value="{{asked.values.get("number", "")}}" placeholder="last four digits" autocomplete="off" inputmode="tel"></label>
% for name, label, choices in (("disposition", "Disposition", Disposition), ("reason", "Reason", Reason)):
<label>{{label}}<select name="{{name}}">
<option value="">any</option>
% for each in choices:
<option value="{{each}}"\\
% if asked.values.get(name) == each:
 selected\\
% end
>{{each.replace("_", " ")}}</option>
% end
</select></label>
% end
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
% if is_newest:
 data-live="./?{{urlencode(asked.values | {"part": 1})}}"\\
% end
>
% include("part.tpl")
</div>
% end
