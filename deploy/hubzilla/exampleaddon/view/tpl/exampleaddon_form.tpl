<div class="generic-content-wrapper">
	<div class="section-title-wrapper"><h2>{{$title}}</h2></div>
	<div class="section-content-wrapper">
		{{if $message}}<div class="alert alert-warning" role="alert">{{$message|escape}}</div>{{/if}}
		<form action="{{$action}}" method="post" autocomplete="off">
			<input type="hidden" name="form_security_token" value="{{$form_security_token}}">
			<input type="hidden" name="nonce" value="{{$nonce}}">
			{{foreach [$association, $placekey, $scenario] as $field}}
			<div class="mb-3">
				<label for="id_{{$field.0}}">{{$field.1}}</label>
				<input class="form-control" type="text" name="{{$field.0}}" id="id_{{$field.0}}" value="{{$field.2|escape}}" required>
				<small class="form-text text-muted">{{$field.3}}</small>
			</div>
			{{/foreach}}
			<div class="mb-3">
				<label for="id_{{$narrative.0}}">{{$narrative.1}}</label>
				<textarea class="form-control" rows="8" name="{{$narrative.0}}" id="id_{{$narrative.0}}" required>
{{$narrative.2|escape}}</textarea>
			</div>
			<button class="btn btn-primary" type="submit">{{$submit}}</button>
		</form>
	</div>
</div>
